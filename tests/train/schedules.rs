use vgg_surgery::train::Schedule;
use vgg_surgery::{Dense, Error, Head, Trainer, Vgg16};

use crate::{assert_near, built, golden, graph, numbers, two_kinds, weights};

#[test]
fn factors_are_pytorchs() {
    let golden = golden();
    for (name, schedule, steps_per_epoch) in [
        ("cosine_20", Schedule::cosine(), 5),
        ("cosine_to_.1_20", Schedule::cosine_to(0.1), 5),
        ("one_cycle_20", Schedule::one_cycle(), 5),
        ("step_2_.5_epochs", Schedule::step(2, 0.5), 1),
        ("exponential_.9_epochs", Schedule::exponential(0.9), 1),
    ] {
        let expected = numbers(&golden["schedules"][name]);
        let total = expected.len() as u64;
        let actual: Vec<f64> = (0..total)
            .map(|step| schedule.factor(step, steps_per_epoch, total))
            .collect();
        assert_near(&actual, &expected, 1e-12, name);
    }
}

#[test]
fn a_warm_up_leads_to_the_whole_schedule() {
    let schedule = Schedule::cosine().warm_up(0.5);
    let plain = Schedule::cosine();
    for step in 0..4 {
        let factor = schedule.factor(step, 8, 40);
        assert_eq!(factor, (step + 1) as f64 / 4.0);
    }
    for step in 4..40 {
        let factor = schedule.factor(step, 8, 40);
        assert_eq!(factor, plain.factor(step - 4, 8, 36));
    }
}

#[test]
fn a_factor_of_ones_own_goes_by_the_share_that_has_passed() {
    let schedule = Schedule::custom(|share| 1.0 - share);
    assert_eq!(schedule.factor(0, 5, 20), 1.0);
    assert_eq!(schedule.factor(15, 5, 20), 0.25);
}

#[test]
fn rates_are_told_epoch_by_epoch() {
    let mut model = built(graph());
    let data = two_kinds(6, 8, 1);
    let history = Trainer::new(&mut model)
        .learning_rate(0.5e-3)
        .schedule(Schedule::exponential(0.5))
        .batch_size(2)
        .epochs(3)
        .fit_without_validation(&data)
        .unwrap();
    assert_eq!(history.curve("learning_rate"), [0.5e-3, 0.25e-3, 0.125e-3]);
}

/// A rate of 0 learns nothing, so the loss never falls after the first epoch,
/// and every second epoch from then on the rate halves.
#[test]
fn a_plateau_lowers_the_rate() {
    let graph = Vgg16::options()
        .widths(16)
        .untrained(1)
        .unwrap()
        .truncate("block1_pool")
        .unwrap()
        .freeze_all()
        .attach(
            Head::new()
                .global_avg_pool2d("pool")
                .dense("out", Dense::new(2)),
        )
        .unwrap();
    let mut model = built(graph);
    let data = two_kinds(4, 8, 1);
    let history = Trainer::new(&mut model)
        .learning_rate(1e-30)
        .schedule(Schedule::reduce_on_plateau(0.5, 2))
        .epochs(6)
        .fit(&data, &data)
        .unwrap();
    let expected = [1.0, 1.0, 1.0, 0.5, 0.5, 0.25].map(|factor| factor * 1e-30);
    assert_eq!(history.curve("learning_rate"), expected);
}

#[test]
fn schedules_that_are_not_legal_are_refused() {
    for schedule in [
        Schedule::step(0, 0.5),
        Schedule::exponential(0.0),
        Schedule::reduce_on_plateau(1.0, 2),
        Schedule::constant().warm_up(-1.0),
        Schedule::cosine().warm_up(f64::NAN),
        Schedule::cosine_to(f64::NAN),
        Schedule::cosine_to(f64::INFINITY),
        Schedule::cosine_to(-0.5),
    ] {
        let mut model = built(graph());
        let data = two_kinds(4, 8, 1);
        let mut trainer = Trainer::new(&mut model).schedule(schedule);
        let error = trainer.fit_without_validation(&data).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }
}

/// The first batch takes a step, the second none.
#[test]
fn a_factor_that_is_no_rate_ends_training_before_the_step() {
    let data = two_kinds(4, 8, 1);
    let run = |later: f64| {
        let mut model = built(graph());
        let outcome = Trainer::new(&mut model)
            .schedule(Schedule::custom(
                move |share| if share == 0.0 { 1.0 } else { later },
            ))
            .batch_size(2)
            .fit_without_validation(&data);
        (outcome, weights(&model))
    };
    let (_, after_one) = run(0.0);
    assert_ne!(after_one, weights(&built(graph())));
    for later in [f64::NAN, f64::INFINITY, -1.0] {
        let (outcome, learnt) = run(later);
        let error = outcome.unwrap_err();
        let place = "in batch 2 of epoch 1 a schedule's factor of ";
        assert!(error.to_string().starts_with(place), "{error}");
        let parameters = |all: &[(String, Vec<u64>)]| -> Vec<(String, Vec<u64>)> {
            let own = all.iter().filter(|(name, _)| !name.contains("running"));
            own.cloned().collect()
        };
        assert_eq!(parameters(&learnt), parameters(&after_one), "{later}");
    }
}
