//! What is said about several outputs.

use vgg_surgery::{Dense, Head, Vgg16};

#[test]
fn a_summary_lists_the_outputs_if_the_last_layer_is_not_the_only_one() {
    let head = |name: &str| {
        let head = Head::new().global_avg_pool2d(format!("{name}_pool"));
        head.dense(name, Dense::new(2))
    };
    let one = Vgg16::untrained(0).truncate("block4_pool").unwrap();
    let one = one.attach(head("color")).unwrap();
    assert_eq!(one.summary().outputs, ["color"]);
    assert!(!one.summary().to_string().contains("Outputs"));
    let two = one.attach_to("block2_pool", head("texture")).unwrap();
    let text = two.summary().to_string();
    assert!(text.contains("\nOutputs: color, texture\n"), "{text}");
    let swapped = two.with_outputs(["texture", "color"]).unwrap();
    let text = swapped.summary().to_string();
    assert!(text.contains("\nOutputs: texture, color\n"), "{text}");
}
