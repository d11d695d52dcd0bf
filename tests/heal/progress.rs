use std::sync::{Arc, Mutex};

use vgg_surgery::heal::{HealEvent, HealPhase, HealReport, HealingMethod};
use vgg_surgery::train::ControlFlow;
use vgg_surgery::{Conv2d, Error, Head, Healing, Model, Result};

use crate::{all_bits, chain, images};

fn old_and_new() -> (Model, Model) {
    let head = Head::new()
        .conv2d("a", Conv2d::new(4, 3).same().relu())
        .conv2d("b", Conv2d::new(4, 3).same().relu())
        .max_pool2d("pool", 2)
        .conv2d("c", Conv2d::new(3, 3).same())
        .max_pool2d("pool2", 2);
    let old = chain((16, 12), head);
    let conv = Conv2d::new(4, 5).same().named("new");
    let new = old.edit(|graph| graph.replace("a"..="b", conv)).unwrap();
    (old, new)
}

/// Heals from two images; returns what was reported, which `flow` answers.
fn healed(
    new: &mut Model,
    old: &Model,
    healing: Healing,
    flow: impl Fn(&HealEvent) -> Result<ControlFlow> + Send + Sync + 'static,
) -> (Result<HealReport>, Vec<HealEvent>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&events);
    let healing = healing.on_step(move |event: &HealEvent| {
        sink.lock().unwrap().push(event.clone());
        flow(event)
    });
    let report = new.heal_with("new", old, &images(2, 16, 12), &healing);
    let events = events.lock().unwrap().clone();
    (report, events)
}

fn short() -> Healing {
    Healing::distill().steps(4, 3).ridge(1e-3)
}

#[test]
fn every_step_is_reported_and_changes_nothing() {
    let (old, new) = old_and_new();
    let (mut watched, mut alone) = (new.edit(Ok).unwrap(), new.edit(Ok).unwrap());
    let (report, events) = healed(&mut watched, &old, short(), |_| Ok(ControlFlow::Continue));
    let report = report.unwrap();
    let silent = alone.heal_with("new", &old, &images(2, 16, 12), &short());
    assert_eq!(silent.unwrap().after, report.after);
    assert_eq!(all_bits(&watched), all_bits(&alone));
    assert!(!report.stopped);
    let expected: Vec<(HealPhase, usize, usize)> = [
        (HealPhase::Measure, 2),
        (HealPhase::LeastSquares, 2),
        (HealPhase::Output, 4),
        (HealPhase::Features, 3),
        (HealPhase::Measure, 2),
    ]
    .into_iter()
    .flat_map(|(phase, steps)| (1..=steps).map(move |step| (phase, step, steps)))
    .collect();
    let found = events
        .iter()
        .map(|event| (event.phase, event.step, event.steps.unwrap()));
    assert_eq!(found.collect::<Vec<_>>(), expected);
    for event in &events {
        let (step, steps) = (event.step as f64, event.steps.unwrap() as f64);
        assert_eq!(
            (event.layer.as_str(), event.fraction),
            ("new", step / steps)
        );
        let descends = matches!(event.phase, HealPhase::Output | HealPhase::Features);
        assert_eq!(event.loss.is_some_and(|loss| loss > 0.0), descends);
    }
    assert!(events.is_sorted_by(|a, b| a.seconds <= b.seconds));
    let line = events[5].to_string();
    let start = format!(
        "\"new\": learning the output, step 2/4, loss {:.4} (",
        events[5].loss.unwrap()
    );
    assert!(line.starts_with(&start), "{line}");
}

#[test]
fn a_stop_keeps_what_was_learned() {
    let (old, new) = old_and_new();
    let mut stopped = new.edit(Ok).unwrap();
    let (report, events) = healed(&mut stopped, &old, short(), |event| {
        let is_enough = event.phase == HealPhase::Output && event.step == 2;
        Ok(if is_enough {
            ControlFlow::Stop
        } else {
            ControlFlow::Continue
        })
    });
    let report = report.unwrap();
    assert_eq!((report.steps, report.stopped), (2, true));
    assert_eq!(events.last().map(|event| event.step), Some(2));
    assert_ne!(report.after, report.before);
    assert_ne!(all_bits(&stopped), all_bits(&new));
    assert!(
        report.to_string().contains("2 steps, stopped early"),
        "{report}"
    );
}

#[test]
fn a_stop_before_anything_is_learned_leaves_the_layer() {
    let (old, new) = old_and_new();
    for healing in [
        short(),
        Healing::auto(),
        Healing::least_squares().ridge(1e-3),
    ] {
        let mut stopped = new.edit(Ok).unwrap();
        let (report, events) = healed(&mut stopped, &old, healing, |_| Ok(ControlFlow::Stop));
        let report = report.unwrap();
        assert!(report.stopped && report.before == report.after);
        assert_eq!(events.len(), 1);
        assert_eq!(all_bits(&stopped), all_bits(&new));
    }
    let mut stopped = new.edit(Ok).unwrap();
    let best = Healing::least_squares().ridge(1e-3);
    let (report, _) = healed(&mut stopped, &old, best, |event| {
        let is_early = event.phase == HealPhase::LeastSquares;
        Ok(if is_early {
            ControlFlow::Stop
        } else {
            ControlFlow::Continue
        })
    });
    assert_eq!(report.unwrap().method, HealingMethod::LeastSquares);
    assert_eq!(all_bits(&stopped), all_bits(&new));
}

#[test]
fn an_error_is_returned_and_the_model_unchanged() {
    let (old, new) = old_and_new();
    let mut failed = new.edit(Ok).unwrap();
    let (report, events) = healed(&mut failed, &old, short(), |event| match event.phase {
        HealPhase::Features => Err(Error::other("enough")),
        _ => Ok(ControlFlow::Continue),
    });
    assert_eq!(report.unwrap_err().to_string(), "enough");
    assert_eq!(events.len(), 2 + 2 + 4 + 1);
    assert_eq!(all_bits(&failed), all_bits(&new));
}

#[test]
fn with_a_time_limit_the_fraction_is_that_of_the_time() {
    let (old, mut new) = old_and_new();
    let healing = Healing::distill()
        .only_output()
        .from_current()
        .seconds(0.05);
    let (report, events) = healed(&mut new, &old, healing, |_| Ok(ControlFlow::Continue));
    let descent = events
        .iter()
        .filter(|event| event.phase == HealPhase::Output);
    let descent: Vec<&HealEvent> = descent.collect();
    assert_eq!(report.unwrap().steps, descent.len());
    assert!(descent.iter().all(|event| event.steps.is_none()));
    assert!(descent.is_sorted_by(|a, b| a.fraction <= b.fraction));
    assert!(
        descent
            .iter()
            .all(|event| (0.0..=1.0).contains(&event.fraction))
    );
}
