//! Explanations of a single output for two classes.

use vgg_surgery::error::ExplainError;
use vgg_surgery::explain::{Occlusion, ScoreCam};
use vgg_surgery::{Dense, Error, Explainer, Labels, Model, Vgg11};

use super::{built, noise};

const LAYER: &str = "block2_pool";

fn network(out: Dense) -> Model {
    let graph = Vgg11::options()
        .widths(16)
        .hidden(8)
        .classes(1)
        .untrained(3);
    built(graph.unwrap().replace("predictions", out).unwrap())
}

fn negated(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| -value).collect()
}

/// The score is the logit, as before a softmax.
#[test]
fn class_0_is_explained_by_the_negative_of_class_1() {
    let x = noise((1, 3, 32, 32));
    let model = network(Dense::new(1).sigmoid());
    let logit = model.forward_to("predictions:pre", &x).unwrap();
    let logit = logit.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
    let explainer = Explainer::new(&model).unwrap();
    assert_eq!(explainer.classes(), 2);
    assert_eq!(explainer.scores(&x).unwrap(), [-logit, logit]);
    assert_eq!(explainer.top_class(&x).unwrap(), usize::from(logit > 0.0));

    let values = |class| {
        let saliency = explainer.saliency(&x, class).unwrap();
        super::oracle::values(saliency.tensor())
    };
    assert_eq!(values(0), negated(&values(1)));
    assert!(values(1).iter().any(|&value| value != 0.0));
    let covered = |class| {
        let heat = explainer.occlusion(&x, class, &Occlusion::new(16, 16));
        heat.unwrap().values().to_vec()
    };
    assert_eq!(covered(0), negated(&covered(1)));
    let heat = |class| explainer.grad_cam(LAYER, &x, class).unwrap();
    assert_ne!(heat(0).values(), heat(1).values());
    assert!(explainer.score_cam(LAYER, &x, 1, &ScoreCam::new()).is_ok());
    let guided = explainer.guided_backpropagation(&x, 1).unwrap();
    assert_eq!(guided.tensor().dims(), x.dims());
    let error = explainer.saliency(&x, 2).unwrap_err();
    assert!(matches!(error, Error::ClassOutOfRange { classes: 2, .. }));
}

/// A unit without a sigmoid gives the same evidence for what it measures.
#[test]
fn a_quantity_is_explained_as_one() {
    let x = noise((1, 3, 32, 32));
    let [sigmoid, linear] = [Dense::new(1).sigmoid(), Dense::new(1)].map(network);
    let evidence = |model: &Model, class| {
        let saliency = Explainer::new(model)?.saliency(&x, class)?;
        Ok::<_, Error>(super::oracle::values(saliency.tensor()))
    };
    assert_eq!(
        evidence(&sigmoid, 1).unwrap(),
        evidence(&linear, 0).unwrap()
    );
    assert!(evidence(&linear, 1).is_err());
    let pets = Labels::new(["cat", "dog"]);
    let logit = linear.edit(|graph| graph.with_labels(pets)).unwrap();
    assert_eq!(evidence(&sigmoid, 0).unwrap(), evidence(&logit, 0).unwrap());
    let map = linear.edit(|graph| graph.truncate(LAYER)).unwrap();
    let error = Explainer::new(&map).unwrap_err();
    assert!(matches!(
        error,
        Error::Explain(ExplainError::NoClasses { .. })
    ));
}
