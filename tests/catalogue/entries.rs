use vgg_surgery::graph::Precision;
use vgg_surgery::layers::{Add, Pooling};
use vgg_surgery::surgery::{Prune, Rank};
use vgg_surgery::{Conv2d, Dense, Graph, Head, Healing, Image, Model, WeightSet};

use crate::Entry;
use crate::models::{built, chain, classifier, frozen, input, nano, normed, top};

/// An entry for an edit of a graph or an operation on a model; the code that
/// is shown is the code that is run.
macro_rules! entry {
    ($name:ident, $effect:literal, $base:expr, edit, $code:expr) => {{
        let base = $base;
        let change: fn(Graph) -> vgg_surgery::Result<Graph> = $code;
        let call = shown(stringify!($code));
        let after = base.edit(change).unwrap();
        Entry::new((stringify!($name), $effect), call, &base, &after)
    }};
    ($name:ident, $effect:literal, $base:expr, model, $code:expr) => {{
        let base = $base;
        let change: fn(&Model) -> vgg_surgery::Result<Model> = $code;
        let call = shown(stringify!($code));
        let after = change(&base).unwrap();
        Entry::new((stringify!($name), $effect), call, &base, &after)
    }};
}

/// What a closure does, without its parameters and wrapping.
fn shown(code: &str) -> String {
    let mut parts = code.splitn(3, '|').skip(2);
    let body = parts.next().unwrap_or(code).trim();
    if body.contains(';') {
        return body.to_string();
    }
    let within = |text: &str, open: &str, close: &str| -> Option<String> {
        let inner = text.strip_prefix(open)?.strip_suffix(close)?;
        Some(inner.trim().to_string())
    };
    let lines: Vec<&str> = body.lines().map(str::trim).collect();
    let one = lines.join(" ");
    let bare = within(&one, "{", "}").unwrap_or(one);
    within(&bare, "Ok(", ")").unwrap_or(bare)
}

pub fn all() -> Vec<Entry> {
    let mut all = choosing();
    all.extend(splicing());
    all.extend(marking());
    all.extend(reshaping());
    all.extend(shrinking());
    all.push(healing());
    all
}

fn choosing() -> Vec<Entry> {
    vec![
        entry!(
            truncate,
            "Makes a layer the last one.",
            chain(),
            edit,
            |graph| graph.truncate("block1_pool")
        ),
        entry!(
            slice,
            "Keeps the layers of a range. Their input becomes the input of the network.",
            chain(),
            edit,
            |graph| graph.slice("block1_conv2"..="block1_pool")
        ),
        entry!(
            split_at,
            "Splits the network in two and shows the first part; `append` joins the parts.",
            chain(),
            edit,
            |graph| Ok(graph.split_at("block1_pool")?.0)
        ),
        entry!(
            with_outputs,
            "Chooses one or more outputs.",
            chain(),
            edit,
            |graph| graph.with_outputs(["block1_conv2", "block1_pool"])
        ),
        entry!(
            input,
            "Sets the shape of the input and keeps the weights.",
            chain(),
            edit,
            |graph| graph.input((3, 64, 64))
        ),
        entry!(without_top, "Drops the classifier.", top(), edit, |graph| {
            graph.without_top()
        }),
    ]
}

fn splicing() -> Vec<Entry> {
    vec![
        entry!(
            remove,
            "Removes layers. The next layers take their input.",
            chain(),
            edit,
            |graph| graph.remove("block1_pool")
        ),
        entry!(
            replace,
            "Replaces layers by others.",
            chain(),
            edit,
            |graph| graph.replace(
                "block1_conv1"..="block1_conv2",
                Conv2d::new(8, 5).same().relu().named("new_conv")
            )
        ),
        entry!(
            insert_before,
            "Inserts layers before a layer.",
            chain(),
            edit,
            |graph| graph.insert_before("block1_conv2", Conv2d::new(8, 1).named("between"))
        ),
        entry!(
            insert_after,
            "Inserts layers after a layer.",
            chain(),
            edit,
            |graph| graph.insert_after("block1_conv2", Conv2d::new(8, 1).named("between"))
        ),
        entry!(
            attach,
            "Attaches a head to the output.",
            chain(),
            edit,
            |graph| graph.attach(
                Head::new()
                    .global_avg_pool2d("pool")
                    .dense("out", Dense::new(10).softmax())
            )
        ),
        entry!(
            attach_to,
            "Attaches a head to a layer; its end is one more output.",
            chain(),
            edit,
            |graph| graph.attach_to("block1_conv2", Head::new().global_avg_pool2d("side"))
        ),
        entry!(
            append,
            "Appends another network to the output.",
            built(&nano().truncate("block1_pool").unwrap()),
            edit,
            |graph| graph.append(nano().split_at("block1_pool")?.1.truncate("block2_conv1")?)
        ),
        entry!(
            add,
            "Adds a layer with any nodes as inputs, for branches and joins.",
            chain(),
            edit,
            |mut graph| {
                let (a, b) = (
                    graph.node_id("block1_conv1")?,
                    graph.node_id("block1_conv2")?,
                );
                let sum = graph.add("sum", Add, [a, b])?;
                graph.with_outputs([sum])
            }
        ),
        entry!(
            swap_pool,
            "Turns max pools into average pools, or the reverse.",
            chain(),
            edit,
            |graph| graph.swap_pool("block1_pool", Pooling::Average)
        ),
        entry!(
            change_stride,
            "Sets the stride of a layer and keeps its weights.",
            chain(),
            edit,
            |graph| graph.change_stride("block1_pool", 1)
        ),
    ]
}

fn marking() -> Vec<Entry> {
    vec![
        entry!(
            freeze,
            "Freezes layers: training does not change them.",
            chain(),
            edit,
            |graph| graph.freeze("block1_conv1"..="block1_pool")
        ),
        entry!(
            freeze_through,
            "Freezes a layer and all layers it depends on.",
            chain(),
            edit,
            |graph| graph.freeze_through("block1_pool")
        ),
        entry!(
            freeze_all,
            "Freezes all layers.",
            chain(),
            edit,
            |graph| Ok(graph.freeze_all())
        ),
        entry!(
            unfreeze,
            "Makes layers trainable again.",
            frozen(),
            edit,
            |graph| graph.unfreeze("block2_conv1")
        ),
        entry!(rename, "Renames a layer.", chain(), edit, |graph| graph
            .rename("block1_pool", "half")),
        entry!(
            prefix,
            "Adds a prefix to the names of all layers. Two networks can then be joined.",
            chain(),
            edit,
            |graph| graph.prefix("first_")
        ),
        entry!(
            reinitialize,
            "Draws new values for the parameters of layers.",
            chain(),
            edit,
            |graph| graph.reinitialize("block1_conv2")
        ),
        entry!(
            also_from,
            "Reads the parameters of layers from other weights.",
            chain(),
            edit,
            |graph| graph.also_from(WeightSet::from(&chain()), "block1_conv2")
        ),
        entry!(
            seed,
            "Sets the seed for the new values of later edits. Existing values stay.",
            chain(),
            edit,
            |graph| Ok(graph.seed(1))
        ),
    ]
}

fn reshaping() -> Vec<Entry> {
    vec![
        entry!(
            fold_batch_norm,
            "Folds batch norms into the layers before them.",
            normed(),
            model,
            |model| model.fold_batch_norm()
        ),
        entry!(
            adapt_input,
            "Changes the number of input channels. The first filters are summed, or repeated and rescaled.",
            chain(),
            model,
            |model| model.adapt_input(1)
        ),
        entry!(
            to_fully_convolutional,
            "Turns dense layers into convolutions, which compute a map of scores for larger images.",
            classifier(),
            model,
            |model| model.to_fully_convolutional()
        ),
        entry!(
            dilate,
            "Sets the stride of a layer to 1 and dilates the later filters instead, which keeps the resolution.",
            chain(),
            edit,
            |graph| graph.dilate("block1_pool")
        ),
        entry!(
            widen,
            "Adds channels to a layer without changing the network's function.",
            chain(),
            model,
            |model| model.widen("block1_conv1", 12)
        ),
        entry!(
            grow_classes,
            "Adds classes to a classifier and keeps the scores of the old ones.",
            classifier(),
            model,
            |model| model.grow_classes("out", 6)
        ),
        entry!(
            transplant,
            "Copies layers with their values from another network.",
            chain(),
            model,
            |model| model.transplant("block1_conv1"..="block1_conv2", &chain())
        ),
    ]
}

fn shrinking() -> Vec<Entry> {
    vec![
        entry!(
            prune_filters,
            "Removes the weakest filters of a layer, and the parameters that used their outputs.",
            chain(),
            model,
            |model| model.prune_filters("block1_conv1", Prune::fraction(0.5))
        ),
        entry!(
            factorize,
            "Replaces a layer by two smaller layers, by a truncated singular value decomposition.",
            classifier(),
            model,
            |model| model.factorize("fc1", Rank::Energy(0.8))
        ),
        entry!(
            factorize_for,
            "Replaces a layer by two smaller layers that keep its values for some inputs.",
            chain(),
            model,
            |model| model.factorize_for("block1_conv2", 4, &input())
        ),
        entry!(
            factorize_spatial,
            "Replaces a convolution by a vertical and a horizontal one.",
            chain(),
            model,
            |model| model.factorize_spatial("block1_conv2", 4)
        ),
        entry!(
            quantize_dense,
            "Stores the weights of dense layers in fewer bytes.",
            classifier(),
            model,
            |model| model.quantize_dense(Precision::Int8)
        ),
    ]
}

fn healing() -> Entry {
    let old = chain();
    let conv = Conv2d::new(8, 5).same().relu().named("new_conv");
    let replaced = old
        .edit(|graph| graph.replace("block1_conv1"..="block1_conv2", conv))
        .unwrap();
    let bytes: Vec<u8> = (0..64 * 64 * 3).map(|i| (i * i % 251) as u8).collect();
    let images = [Image::from_rgb8(64, 64, bytes).unwrap()];
    let mut model = replaced.edit(Ok).unwrap();
    let closed = Healing::least_squares();
    model.heal_with("new_conv", &old, &images, &closed).unwrap();
    let call = "model.heal_with(\"new_conv\", &old, &images, &Healing::least_squares())";
    Entry::new(
        (
            "heal",
            "Trains a new layer to reproduce the output of the layers it replaced; see [the guide](guide.md#healing-a-replaced-range).",
        ),
        call.to_string(),
        &replaced,
        &model,
    )
}
