//! Xie and Tu's edge detector, "Holistically-Nested Edge Detection", 2015.

use candle_core::{DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vgg_surgery::layers::{Concat, Upsample};
use vgg_surgery::{Conv2d, Graph, Image, Loss, Result};

const TAPS: [&str; 5] = ["relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"];

/// Side outputs 1 to 5 and their fusion, before the sigmoid, as the channels of one
/// feature map. A side output is a 1x1 convolution from a layer of the frozen trunk
/// to one channel, enlarged to the size of the image.
pub fn detector(trunk: Graph) -> Result<Graph> {
    let mut graph = trunk.freeze_all();
    let image = graph.node_id("input")?;
    let mut sides = Vec::new();
    for (index, tap) in TAPS.into_iter().enumerate() {
        let tap = graph.node_id(tap)?;
        let name = format!("dsn{}", index + 1);
        let side = graph.add(&name, Conv2d::new(1, 1), [tap])?;
        let up = Upsample::like().bilinear().sized_by(image);
        sides.push(graph.add(format!("{name}_up"), up, [side])?);
    }
    let joined = graph.add("join", Concat::channels(), &sides)?;
    let fused = graph.add("fuse", Conv2d::new(1, 1), [joined])?;
    sides.push(fused);
    let maps = graph.add("maps", Concat::channels(), &sides)?;
    graph.with_outputs([maps])
}

/// The paper's loss (equations 2 and 3), the mean over positions and maps. Edges
/// have the fraction of other pixels as weight, and other pixels the fraction of
/// edges. The few edges then weigh as much as the rest. Targets are
/// `(N, 1, H, W)`, 1 at edges and 0 elsewhere.
pub fn balanced_loss() -> Loss {
    Loss::custom(|maps, targets| {
        let edges = targets.values()?.to_dtype(maps.dtype())?;
        let edge = edges.mean_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        // 1 - edge at edges, edge elsewhere.
        let weights = edges.affine(1.0 - 2.0 * edge, edge)?;
        let softplus = (maps.relu()? + (maps.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
        let errors = (softplus - maps.broadcast_mul(&edges)?)?;
        Ok(errors.broadcast_mul(&weights)?.mean_all()?)
    })
}

/// A grainy image of overlapping shapes, and its edges: 1 where the pixel to the
/// right or below belongs to another shape. The image depends on the seed alone.
pub fn shapes(side: usize, seed: u64) -> Result<(Image, Tensor)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut at = vec![0usize; side * side];
    let shapes = 4;
    for shape in 1..=shapes {
        let reach = side as f64;
        let mut draw = |low: f64, high: f64| reach * rng.random_range(low..high);
        let (x, y, width, height) = (
            draw(0.1, 0.9),
            draw(0.1, 0.9),
            draw(0.1, 0.3),
            draw(0.1, 0.3),
        );
        for (place, owner) in at.iter_mut().enumerate() {
            let across = ((place % side) as f64 - x).abs() / width;
            let down = ((place / side) as f64 - y).abs() / height;
            let is_inside = if shape % 2 == 0 {
                across.max(down) < 1.0
            } else {
                across.hypot(down) < 1.0
            };
            if is_inside {
                *owner = shape;
            }
        }
    }
    let colors: Vec<[u8; 3]> = (0..=shapes).map(|_| rng.random()).collect();
    let mut bytes = Vec::with_capacity(3 * at.len());
    for &shape in &at {
        let grain = rng.random_range(-12..=12);
        bytes.extend(colors[shape].map(|level| level.saturating_add_signed(grain)));
    }
    let edges = (0..at.len()).map(|place| {
        let right = place % side + 1 < side && at[place] != at[place + 1];
        let below = place + side < at.len() && at[place] != at[place + side];
        f32::from(u8::from(right || below))
    });
    let edges = edges.collect::<Vec<_>>();
    let edges = Tensor::from_vec(edges, (1, 1, side, side), &Device::Cpu)?;
    Ok((Image::from_rgb8(side, side, bytes)?, edges))
}
