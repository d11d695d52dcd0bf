use vgg_surgery::graph::{Contract, Fate};
use vgg_surgery::heal::{HealReport, HealingMethod};
use vgg_surgery::{Conv2d, Healing, Model, Preprocessing, Vgg16};

use crate::{all_bits, image, images};

/// VGG16 at 1/8 of its width, new, up to the end of block 3.
fn old() -> Model {
    let graph = Vgg16::options().widths(8).untrained(3).unwrap();
    let graph = graph
        .truncate("block3_pool")
        .and_then(|graph| graph.input((3, 32, 32)))
        .unwrap()
        .with_preprocessing(Preprocessing::caffe());
    graph.build(&candle_core::Device::Cpu).unwrap()
}

fn replaced(old: &Model) -> Model {
    let conv = Conv2d::new(8, 5).same().relu().named("new_conv");
    old.edit(|graph| graph.replace("block1_conv1"..="block1_conv2", conv))
        .unwrap()
}

fn healed(healing: &Healing) -> (Model, HealReport) {
    let old = old();
    let mut new = replaced(&old);
    let report = new
        .heal_with("new_conv", &old, &images(3, 40, 60), healing)
        .unwrap();
    let told = new.graph().operations().last().unwrap();
    assert_eq!(told.contract, Contract::Approximate);
    assert_eq!(told.layers[0], "new_conv");
    assert_eq!(told.layers[1..], report.adapted);
    let learned = new.graph().provenance().into_iter();
    let learned = learned.filter(|parameter| told.layers.contains(&parameter.layer));
    let is_derived = |fate: &Fate| matches!(fate, Fate::Derived { reason } if *reason == told.what);
    assert!(
        learned
            .map(|parameter| parameter.fate)
            .all(|fate| is_derived(&fate))
    );
    (new, report)
}

fn changed(new: &Model) -> Vec<String> {
    let before = all_bits(&replaced(&old()));
    let pairs = before.into_iter().zip(all_bits(new));
    let changed = pairs.filter(|(before, after)| {
        assert_eq!(before.0, after.0);
        before.1 != after.1
    });
    changed.map(|(before, _)| before.0).collect()
}

#[test]
fn distilling_betters_what_follows_and_changes_nothing_else() {
    let closed = healed(&Healing::least_squares()).1;
    let (new, report) = healed(&Healing::distill().steps(30, 30));
    let own = ["new_conv.weight", "new_conv.bias"];
    assert_eq!(changed(&new), own);
    let names: Vec<&str> = report.after.iter().map(|b| b.layer.as_str()).collect();
    assert_eq!(names, ["new_conv", "block2_conv2", "block3_conv3"]);
    assert!(report.after[2].r2 > closed.after[2].r2, "{closed}{report}");
    assert_eq!((report.steps, report.method), (60, HealingMethod::Distill));
    assert!(report.adapted.is_empty());
}

#[test]
fn those_that_adapt_change_too() {
    let (new, report) = healed(&Healing::distill().steps(5, 5).adapting_next());
    let both = [
        "new_conv.weight",
        "new_conv.bias",
        "block2_conv1.weight",
        "block2_conv1.bias",
    ];
    assert_eq!(changed(&new), both);
    assert_eq!(report.adapted, ["block2_conv1"]);
    let healing = Healing::distill().steps(2, 3);
    let (new, report) = healed(&healing.adapting("block2_conv2"..="block3_conv1"));
    assert_eq!(changed(&new).len(), 6);
    assert_eq!(report.adapted, ["block2_conv2", "block3_conv1"]);
}

#[test]
fn a_seed_decides_everything() {
    let healing = Healing::distill().steps(4, 4).adapting_next();
    let bits = |healing: &Healing| all_bits(&healed(healing).0);
    let first = bits(&healing.clone().seed(5));
    assert_eq!(bits(&healing.clone().seed(5)), first);
    assert_ne!(bits(&healing.seed(6)), first);
}

#[test]
fn parts_can_be_left_out() {
    let from_there = Healing::distill().from_current();
    let nothing = from_there.clone().steps(0, 0);
    let (new, report) = healed(&nothing);
    assert!(changed(&new).is_empty());
    assert_eq!((report.steps, &report.before), (0, &report.after));
    let (_, report) = healed(&from_there.clone().steps(3, 4).only_output());
    assert_eq!(report.steps, 3);
    let (_, report) = healed(&from_there.steps(3, 4).only_features());
    assert_eq!(report.steps, 4);
}

#[test]
fn a_time_limit_takes_the_place_of_steps() {
    let (new, report) = healed(&Healing::distill().seconds(0.2).steps(1_000_000, 1_000_000));
    assert!(report.steps > 0 && report.steps < 1_000_000);
    assert_eq!(changed(&new).len(), 2);
}

/// Neither a composition across a ReLU nor least squares is the nearest here.
#[test]
fn the_best_is_kept() {
    let (_, best) = healed(&Healing::auto().steps(30, 30));
    for healing in [
        Healing::compose(),
        Healing::least_squares(),
        Healing::distill().steps(30, 30),
    ] {
        let (_, report) = healed(&healing);
        assert!(best.after[2].r2 >= report.after[2].r2, "{best}{report}");
    }
    assert_ne!(best.method, HealingMethod::Auto);
}

#[test]
fn a_linear_stretch_is_composed_exactly() {
    let old = old();
    let linear = |filters| Conv2d::new(filters, 3);
    let old = old
        .edit(|graph| {
            let layers = [linear(8).padding(2).named("a"), linear(8).named("b")];
            graph.replace(
                "block1_conv1"..="block1_conv2",
                vec![layers[0].clone(), layers[1].clone()],
            )
        })
        .unwrap();
    let conv = Conv2d::new(8, 5).same().named("new");
    let mut new = old.edit(|graph| graph.replace("a"..="b", conv)).unwrap();
    let report = new.heal("new", &old, &images(2, 40, 40)).unwrap();
    assert!(report.is_exact);
    let told = new.graph().operations().last().unwrap();
    assert_eq!(told.what, "heal(\"new\", composition)");
    assert_eq!(told.contract, Contract::Exact);
    let own = 8 * (3 * 5 * 5 + 1);
    assert_eq!((told.derived, told.dropped, told.new), (own, own, 0));
    assert_eq!(told.kept + told.derived, new.graph().parameter_count());
    assert_eq!((report.method, report.steps), (HealingMethod::Compose, 0));
    assert!(
        report.after.iter().all(|block| block.r2 > 1.0 - 1e-9),
        "{report}"
    );
}

/// What is measured on decides nothing but the measures.
#[test]
fn other_images_can_be_measured_on() {
    let healing = Healing::least_squares();
    let seen = images(3, 40, 60);
    let (alike, report) = healed(&healing.clone().measured_on(seen));
    let (plain, expected) = healed(&healing);
    assert_eq!(report.after, expected.after);
    let (new, report) = healed(&healing.measured_on(vec![image(40, 60, 9)]));
    assert_ne!(report.after, expected.after);
    assert_eq!(all_bits(&new), all_bits(&plain));
    assert_eq!(all_bits(&alike), all_bits(&plain));
}

/// Networks that were built apart know each other's layers by name.
#[test]
fn networks_built_apart_are_matched_by_name() {
    let mut apart = replaced(&old());
    let report = apart
        .heal_with(
            "new_conv",
            &old(),
            &images(2, 40, 40),
            &Healing::least_squares(),
        )
        .unwrap();
    assert!(report.after[0].r2 > 0.5, "{report}");
    assert_eq!(report.after.len(), 3);
}

#[test]
fn a_report_is_a_table() {
    let (_, report) = healed(&Healing::distill().steps(1, 1).adapting_next());
    let text = report.to_string();
    let lines: Vec<&str> = text.lines().collect();
    let head = "\"new_conv\" healed by distillation in 2 steps, block2_conv1 adapted (";
    assert!(lines[0].starts_with(head), "{text}");
    assert_eq!(lines[1], "block         R2 before   R2 after");
    assert_eq!(lines[5..], ["measured on the images learned from"]);
    let (_, report) = healed(&Healing::compose());
    assert!(
        report
            .to_string()
            .starts_with("\"new_conv\" healed by composition (")
    );
}
