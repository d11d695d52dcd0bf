use candle_core::Device;
use vgg_surgery::{
    Add, Conv2d, Dense, Graph, Head, Healing, Image, Model, Pooling, Precision, Prune, Rank, Vgg16,
    Vgg16Bn,
};

use crate::Entry;

fn built(graph: &Graph) -> Model {
    graph.build(&Device::Cpu).unwrap()
}

fn nano() -> Graph {
    Vgg16::nano().input((3, 32, 32)).unwrap()
}

fn frozen() -> Model {
    built(&nano().truncate("block2_conv1").unwrap().freeze_all())
}

/// What follows the last pool, with a classifier.
fn top() -> Model {
    let whole = Vgg16::options().widths(16).untrained(0).unwrap();
    let sized = whole.input((3, 32, 32)).unwrap();
    built(&sized.slice("block5_pool"..).unwrap())
}

/// Block 1 and a layer more.
fn chain() -> Model {
    built(&nano().truncate("block2_conv1").unwrap())
}

/// Block 1 under a classifier of two dense layers.
fn classifier() -> Model {
    let head = Head::new()
        .max_pool2d("pool", 4)
        .flatten("flatten")
        .dense("fc1", Dense::new(16).relu())
        .dense("out", Dense::new(4));
    let graph = nano().truncate("block1_pool").unwrap();
    built(&graph.attach(head).unwrap())
}

fn normed() -> Model {
    let whole = Vgg16Bn::options().widths(16).untrained(0).unwrap();
    let sized = whole.input((3, 32, 32)).unwrap();
    built(&sized.truncate("block1_pool").unwrap())
}

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
            "Keeps the layers of a range; its input becomes the network's.",
            chain(),
            edit,
            |graph| graph.slice("block1_conv2"..="block1_pool")
        ),
        entry!(
            split_at,
            "Parts the network in two, of which this is the first; `append` joins them.",
            chain(),
            edit,
            |graph| Ok(graph.split_at("block1_pool")?.0)
        ),
        entry!(
            with_outputs,
            "Chooses the outputs, several if need be.",
            chain(),
            edit,
            |graph| graph.with_outputs(["block1_conv2", "block1_pool"])
        ),
        entry!(
            input,
            "Sets the shape of the images; weights are kept.",
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
            "Takes layers out; what follows takes their input.",
            chain(),
            edit,
            |graph| graph.remove("block1_pool")
        ),
        entry!(
            replace,
            "Puts other layers in the place of some.",
            chain(),
            edit,
            |graph| graph.replace(
                "block1_conv1"..="block1_conv2",
                Conv2d::new(8, 5).same().relu().named("new_conv")
            )
        ),
        entry!(
            insert_before,
            "Puts layers before one.",
            chain(),
            edit,
            |graph| graph.insert_before("block1_conv2", Conv2d::new(8, 1).named("between"))
        ),
        entry!(
            insert_after,
            "Puts layers behind one.",
            chain(),
            edit,
            |graph| graph.insert_after("block1_conv2", Conv2d::new(8, 1).named("between"))
        ),
        entry!(
            attach,
            "Puts a head on the output.",
            chain(),
            edit,
            |graph| graph.attach(
                Head::new()
                    .global_avg_pool2d("pool")
                    .dense("out", Dense::new(10).softmax())
            )
        ),
        entry!(
            append,
            "Runs another network on the output.",
            built(&nano().truncate("block1_pool").unwrap()),
            edit,
            |graph| graph.append(nano().split_at("block1_pool")?.1.truncate("block2_conv1")?)
        ),
        entry!(
            add,
            "Adds a layer on any nodes, and so branches and joins.",
            chain(),
            edit,
            |mut graph| {
                let (a, b) = (
                    graph.node_id("block1_conv1")?,
                    graph.node_id("block1_conv2")?,
                );
                let sum = graph.add("sum", Add, &[a, b])?;
                graph.with_outputs([sum])
            }
        ),
        entry!(
            swap_pool,
            "Makes average pools of max pools, or the other way round.",
            chain(),
            edit,
            |graph| graph.swap_pool("block1_pool", Pooling::Average)
        ),
        entry!(
            change_stride,
            "Sets the step of a layer, weights kept.",
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
            "Keeps layers from learning.",
            chain(),
            edit,
            |graph| graph.freeze("block1_conv1"..="block1_pool")
        ),
        entry!(
            freeze_through,
            "Keeps a layer, and all that it depends on, from learning.",
            chain(),
            edit,
            |graph| graph.freeze_through("block1_pool")
        ),
        entry!(
            freeze_all,
            "Keeps all layers from learning.",
            chain(),
            edit,
            |graph| Ok(graph.freeze_all())
        ),
        entry!(
            unfreeze,
            "Lets layers learn again.",
            frozen(),
            edit,
            |graph| graph.unfreeze("block2_conv1")
        ),
        entry!(
            rename,
            "Gives a layer another name.",
            chain(),
            edit,
            |graph| graph.rename("block1_pool", "half")
        ),
        entry!(
            prefix,
            "Puts a word before the names of all layers, so that two networks fit into one.",
            chain(),
            edit,
            |graph| graph.prefix("first_")
        ),
        entry!(
            reinitialize,
            "Draws the values of layers anew.",
            chain(),
            edit,
            |graph| graph.reinitialize("block1_conv2")
        ),
        entry!(
            seed,
            "Sets what later edits draw new values from; what a model holds stays.",
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
            "Folds norms into the layers before them.",
            normed(),
            model,
            |model| model.fold_batch_norm()
        ),
        entry!(
            adapt_input,
            "Takes images with other channels: the first filters are summed, or repeated and rescaled.",
            chain(),
            model,
            |model| model.adapt_input(1)
        ),
        entry!(
            to_fully_convolutional,
            "Makes convolutions of dense layers, for maps of scores on larger images.",
            classifier(),
            model,
            |model| model.to_fully_convolutional()
        ),
        entry!(
            dilate,
            "Undoes the step of a layer by spreading the filters behind it: features as dense as before it.",
            chain(),
            edit,
            |graph| graph.dilate("block1_pool")
        ),
        entry!(
            widen,
            "Gives a layer more channels without changing the function.",
            chain(),
            model,
            |model| model.widen("block1_conv1", 12)
        ),
        entry!(
            transplant,
            "Takes layers, with their values, from another network.",
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
            "Drops a layer's weakest filters, and what followed of them.",
            chain(),
            model,
            |model| model.prune_filters("block1_conv1", Prune::fraction(0.5))
        ),
        entry!(
            factorize,
            "Makes two thin layers of one, by a truncated singular value decomposition.",
            classifier(),
            model,
            |model| model.factorize("fc1", Rank::Energy(0.8))
        ),
        entry!(
            factorize_spatial,
            "Makes a column and a row of a convolution.",
            chain(),
            model,
            |model| model.factorize_spatial("block1_conv2", 4)
        ),
        entry!(
            quantize_dense,
            "Stores dense layers in fewer bytes.",
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
            "Lets a new layer learn what those in its place gave; see [the guide](guide.md#healing-a-replaced-range).",
        ),
        call.to_string(),
        &replaced,
        &model,
    )
}
