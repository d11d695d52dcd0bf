//! Random programs of edits on random networks.

use std::cell::RefCell;
use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use vgg_surgery::graph::{Precision, Shape};
use vgg_surgery::layers::Pooling;
use vgg_surgery::model::LoadOptions;
use vgg_surgery::surgery::Prune;
use vgg_surgery::{Graph, Model, Result};

use crate::child::{Process, cases, job};
use crate::networks::{Network, networks};
use crate::random_layers::some_layers;
use crate::small::bits;

/// One statement: a verb, two places and a number.
#[derive(Clone, Copy, Debug)]
struct Statement {
    verb: u8,
    first: usize,
    second: usize,
    number: usize,
}

const VERBS: u8 = 36;

fn statements() -> impl Strategy<Value = Vec<Statement>> {
    let statement = (0..VERBS, 0usize..32, 0usize..32, 0usize..9);
    let statement = statement.prop_map(|(verb, first, second, number)| Statement {
        verb,
        first,
        second,
        number,
    });
    prop::collection::vec(statement, 1..10)
}

impl Statement {
    fn name(&self, graph: &Graph, place: usize) -> String {
        let node = graph.nodes().nth(place % graph.len());
        let name = node.unwrap().name();
        match self.number {
            8 => format!("{name}:pre"),
            _ => name.to_string(),
        }
    }

    /// An edit of the graph.
    fn edit(self, graph: Graph) -> Result<Graph> {
        let (first, second) = (
            self.name(&graph, self.first),
            self.name(&graph, self.second),
        );
        let range = first.clone()..=second.clone();
        let layers = some_layers(self.number);
        match self.verb {
            0 => graph.truncate(first),
            1 => graph.slice(range),
            2 => graph.remove(first),
            3 => graph.remove(range),
            4 => graph.replace(first, layers),
            5 => graph.replace(range, layers),
            6 => graph.insert_before(first, layers),
            7 | 8 => graph.insert_after(first, layers),
            9 => graph.rename(first, format!("layer {}", self.second)),
            10 => graph.prefix("p/"),
            11 => graph.freeze(range),
            12 => graph.unfreeze([first, second]),
            13 => graph.attach(layers),
            14 => graph.attach_to(first, layers),
            15 => graph.with_outputs([first, second]),
            16 => graph.reinitialize(range),
            17 => graph.without_top(),
            18 => graph.freeze_through(first),
            19 => graph.swap_pool(
                range,
                if self.number < 4 {
                    Pooling::Average
                } else {
                    Pooling::Max
                },
            ),
            20 => graph.change_stride(first, (1 + self.number % 3, 1 + self.second % 3)),
            21 => graph.dilate(first),
            22 => graph.input((3, 6 + self.first % 16, 6 + self.second % 16)),
            _ => {
                let (front, back) = graph.split_at(&first)?;
                front.append(back)
            }
        }
    }

    fn run(self, model: &Model) -> Result<Model> {
        let first = self.name(model.graph(), self.first);
        let second = self.name(model.graph(), self.second);
        let number = self.number;
        match self.verb {
            24 => model.fold_batch_norm(),
            25 => model.prune_filters(first, Prune::count(number)),
            26 => model.prune_filters(first, Prune::fraction(number as f64 / 8.0)),
            27 => model.widen(first, number * 2),
            28 => model.adapt_input(number),
            29 => model.factorize(first, number),
            30 => model.factorize_spatial(first, number),
            31 => model.to_fully_convolutional(),
            32 => model.quantize_dense(if number < 4 {
                Precision::Int8
            } else {
                Precision::Bf16
            }),
            33 => model.grow_classes(first, number),
            34 => model.transplant(first..=second, &model.clone()),
            35 => saved_and_loaded(model),
            _ => model.edit(|graph| self.edit(graph)),
        }
    }
}

fn saved_and_loaded(model: &Model) -> Result<Model> {
    Model::from_bytes(model.to_bytes()?, &Device::Cpu, &LoadOptions::new())
}

fn images(shape: &Shape) -> Option<Tensor> {
    let (height, width) = shape.size()?;
    let dims = (2, shape.channels(), height, width);
    Some(crate::noise(dims, 9))
}

/// Sizes, without that of the batch, that a shape allows.
fn allows(shape: &Shape, dims: &[usize]) -> bool {
    let sides = Vec::<Option<usize>>::from(*shape);
    let agrees = |(side, dim): (&Option<usize>, &usize)| side.is_none_or(|side| side == *dim);
    sides.len() == dims.len() && sides.iter().zip(dims).all(agrees)
}

/// What every model keeps to: it runs, its outputs have the shapes that its graph
/// says, and a file holds it.
fn assert_sound(model: &Model) -> std::result::Result<(), TestCaseError> {
    let Some(x) = images(&model.graph().input_shape()) else {
        return Ok(());
    };
    let outputs = model.forward_all(&x).unwrap();
    let shapes = model.graph().output_shapes();
    for (output, shape) in outputs.iter().zip(&shapes) {
        prop_assert!(
            allows(shape, &output.dims()[1..]),
            "{shape} is {:?}",
            output.dims()
        );
    }
    let again = saved_and_loaded(model).unwrap();
    let loaded = again.forward_all(&x).unwrap();
    for (now, before) in loaded.iter().zip(&outputs) {
        prop_assert_eq!(bits(now), bits(before));
    }
    prop_assert_eq!(model.graph().summary().rows.len(), model.graph().len());
    Ok(())
}

/// Verbs that succeeded.
type Done = RefCell<BTreeSet<u8>>;

fn law(
    network: &Network,
    program: &[Statement],
    done: &Done,
) -> std::result::Result<(), TestCaseError> {
    let mut model = network.model();
    for statement in program {
        if let Ok(after) = statement.run(&model) {
            done.borrow_mut().insert(statement.verb);
            assert_sound(&after)?;
            model = after;
        }
    }
    Ok(())
}

#[test]
fn what_is_built_runs_and_is_saved() {
    if job().is_some() {
        let config = ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(u32::try_from(cases(300)).unwrap())
        };
        let programs = (networks(), statements());
        let done = Done::default();
        let law = |(network, program): (Network, Vec<Statement>)| law(&network, &program, &done);
        if let Err(failure) = TestRunner::new(config).run(&programs, law) {
            panic!("{failure}");
        }
        // Else the programs do little.
        let never: Vec<u8> = (0..VERBS)
            .filter(|verb| !done.borrow().contains(verb))
            .collect();
        let is_many = cases(300) >= 300;
        assert!(
            !is_many || never.len() <= 4,
            "verbs {never:?} never succeeded"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    Process::new(
        "programs::what_is_built_runs_and_is_saved",
        "programs",
        folder.path(),
    )
    .seconds(120 + cases(300))
    .megabytes(4000)
    .run();
}
