use candle_core::{Device, Tensor};
use faer::linalg::solvers::{Llt, SolveCore};
use faer::{Conj, MatMut};

use crate::error::{Error, HealingError, Result};
use crate::layers::Activation;
use crate::memory::has_room;

use super::lessons::Lessons;
use super::normal::{FeatureMap, Group, Normal};
use super::progress::{HealPhase, Progress};
use super::seam::Seam;

/// What is added to the equations by default.
const RIDGE: f64 = 1e-8;

/// Positions that are needed for each unknown if no ridge is set.
const POSITIONS_AN_UNKNOWN: usize = 2;

/// Passes over the images that a ReLU is fitted in, at most.
const PASSES: usize = 12;

/// The least fraction of the squared error that a pass must save for another to
/// follow.
const WORTH_A_PASS: f64 = 2e-3;

/// Returns whether the layer was changed: not if it was stopped before there was
/// a solution.
pub(super) fn fit(
    seam: &Seam<'_>,
    lessons: &Lessons<'_>,
    ridge: Option<f64>,
    progress: &Progress<'_>,
) -> Result<bool> {
    check(seam)?;
    let groups = groups(seam);
    if ridge.is_none() {
        check_enough(seam, &groups, lessons)?;
    }
    check_room(seam, &groups)?;
    let mut equations = groups
        .iter()
        .map(Group::zeros)
        .collect::<Result<Vec<Normal>>>()?;
    let passes = match seam.conv.activation {
        Activation::Relu => PASSES,
        _ => 0,
    };
    let steps = (1 + passes) * lessons.len();
    progress.begin(HealPhase::LeastSquares, steps, None);
    let given = (lessons, progress);
    if pass(seam, given, (&groups, None), &mut equations)?.is_none() {
        return Ok(false);
    }
    let factors = groups
        .iter()
        .zip(&equations)
        .map(|(group, sums)| {
            let factor = group.factor(sums, ridge.unwrap_or(RIDGE))?;
            factor.ok_or_else(|| seam.non_finite())
        })
        .collect::<Result<Vec<Llt<f64>>>>()?;
    let mut solutions = solve(&groups, &factors, &equations)?;
    let mut last = f64::INFINITY;
    for _ in 0..passes {
        for (group, sums) in groups.iter().zip(&mut equations) {
            sums.outputs = group.zeros()?.outputs;
        }
        let current = (groups.as_slice(), Some(solutions.as_slice()));
        let Some(error) = pass(seam, given, current, &mut equations)? else {
            break;
        };
        if last - error <= WORTH_A_PASS * error {
            break;
        }
        last = error;
        solutions = solve(&groups, &factors, &equations)?;
    }
    let (weight, bias) = parameters(&groups, &solutions)?;
    if !weight.iter().chain(&bias).all(|value| value.is_finite()) {
        return Err(seam.non_finite());
    }
    seam.set(weight, bias)?;
    Ok(true)
}

/// Too few images are refused before memory is taken for the sums.
fn check_enough(seam: &Seam<'_>, groups: &[Group<'_>], lessons: &Lessons<'_>) -> Result<()> {
    let unknowns = groups.iter().map(Group::unknowns).max().unwrap_or(0);
    let needed = POSITIONS_AN_UNKNOWN.saturating_mul(unknowns);
    let mut positions = 0usize;
    for index in 0..lessons.len() {
        positions = positions
            .saturating_add(seam.positions(&lessons.whole(index)?, lessons.pixels(index))?);
        if positions >= needed {
            return Ok(());
        }
    }
    let reason = format!(
        "the images have {positions} positions for the {unknowns} unknowns of each filter, which \
         would fit them and no others; give more or larger images, set a ridge, or use \
         Healing::distill()"
    );
    Err(not_fittable(seam, reason))
}

fn not_fittable(seam: &Seam<'_>, reason: String) -> Error {
    HealingError::NotFittable {
        layer: seam.node.name().to_string(),
        reason,
    }
    .into()
}

/// Refuses equations that do not fit into memory, before they are allocated.
fn check_room(seam: &Seam<'_>, groups: &[Group<'_>]) -> Result<()> {
    let unknowns = groups.iter().map(Group::unknowns).max().unwrap_or(0);
    // The sums, and the sums with what is added to them.
    let values = unknowns.checked_mul(unknowns);
    let values = values.and_then(|values| values.checked_mul(groups.len() + 1));
    if values.is_some_and(has_room::<f64>) {
        return Ok(());
    }
    let reason = format!(
        "the equations of its {unknowns} unknowns do not fit into memory; use \
         Healing::distill().from_current()"
    );
    Err(not_fittable(seam, reason))
}

fn check(seam: &Seam<'_>) -> Result<()> {
    let activation = seam.conv.activation;
    if matches!(activation, Activation::Linear | Activation::Relu) {
        return Ok(());
    }
    let reason = format!(
        "its activation is {activation}, and only linear and relu have a closed form; use \
         Healing::distill().from_current()"
    );
    Err(not_fittable(seam, reason))
}

fn groups<'a>(seam: &Seam<'a>) -> Vec<Group<'a>> {
    let conv = seam.conv;
    let in_channels = seam.new.graph().input_shapes(seam.node)[0].channels();
    (0..conv.groups)
        .map(|index| Group {
            conv,
            index,
            in_channels: in_channels / conv.groups,
            out_channels: conv.out_channels / conv.groups,
        })
        .collect()
}

/// Returns the squared error of the solutions; nothing if it was stopped.
fn pass(
    seam: &Seam<'_>,
    (lessons, progress): (&Lessons<'_>, &Progress<'_>),
    (groups, solutions): (&[Group<'_>], Option<&[Tensor]>),
    equations: &mut [Normal],
) -> Result<Option<f64>> {
    let mut error = 0.0;
    for image in 0..lessons.len() {
        let (input, output) = seam.example(&lessons.whole(image)?)?;
        let (input, output) = (FeatureMap::of(&input)?, FeatureMap::of(&output)?);
        for (index, (group, sums)) in groups.iter().zip(&mut *equations).enumerate() {
            let solution = solutions.map(|solutions| &solutions[index]);
            error += group.add((&input, &output), solution, sums)?;
        }
        if !progress.step(None)? {
            return Ok(None);
        }
    }
    Ok(Some(error))
}

fn solve(groups: &[Group<'_>], factors: &[Llt<f64>], equations: &[Normal]) -> Result<Vec<Tensor>> {
    let parts = groups.iter().zip(factors).zip(equations);
    parts
        .map(|((group, factor), sums)| {
            let mut right: Vec<f64> = sums.outputs.flatten_all()?.to_vec1()?;
            let dims = (group.out_channels, group.unknowns());
            let columns = MatMut::from_column_major_slice_mut(&mut right, dims.1, dims.0);
            factor.solve_in_place_with_conj(Conj::No, columns);
            Ok(Tensor::from_vec(right, dims, &Device::Cpu)?)
        })
        .collect()
}

/// Weights and biases of all groups, as the layer has them.
fn parameters(groups: &[Group<'_>], solutions: &[Tensor]) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut weight, mut bias) = (Vec::new(), Vec::new());
    for (group, solution) in groups.iter().zip(solutions) {
        for row in solution.to_vec2::<f64>()? {
            let taps = group.unknowns() - usize::from(group.conv.bias);
            weight.extend(&row[..taps]);
            bias.extend(&row[taps..]);
        }
    }
    Ok((weight, bias))
}
