//! The transforms of both tile sizes.

use crate::kernels::simd::Simd;

/// A line of a transform. Only `IN` vectors are used.
pub(in crate::kernels::conv) type Line<V> = [V; 6];

/// The transforms of one tile size along one axis.
pub(in crate::kernels::conv) trait Tile: Send + Sync + 'static {
    /// Outputs along an axis.
    const OUT: usize;
    /// Inputs along an axis, and positions of the transformed tile.
    const IN: usize;
    /// Factors of the filter transform: row `i` of `G` is `SCALE[i]` times row
    /// `i` of the matrix that [`Tile::filter`] applies.
    const SCALE: [f64; 6];

    /// `B^T d`.
    fn input<S: Simd>(simd: S, d: Line<S::Vector>) -> Line<S::Vector>;
    /// `G g` of three taps, without the factors [`Tile::SCALE`]. The
    /// coefficients are powers of the points, which are exact in `f32`.
    fn filter<S: Simd>(simd: S, g: [S::Vector; 3]) -> Line<S::Vector>;
    /// `G^T u`: three taps. The caller has multiplied `u` by [`Tile::SCALE`].
    fn taps<S: Simd>(simd: S, u: Line<S::Vector>) -> [S::Vector; 3];
    /// `A^T m`: `OUT` values.
    fn output<S: Simd>(simd: S, m: Line<S::Vector>) -> Line<S::Vector>;
    /// `A y`, the transpose of [`Tile::output`]: `IN` values from `OUT`.
    fn spread<S: Simd>(simd: S, y: Line<S::Vector>) -> Line<S::Vector>;
}

/// F(2x2, 3x3), with points 0, 1, -1.
pub(in crate::kernels::conv) struct Two;

impl Tile for Two {
    const OUT: usize = 2;
    const IN: usize = 4;
    const SCALE: [f64; 6] = [1.0, 0.5, 0.5, 1.0, 0.0, 0.0];

    #[inline(always)]
    fn input<S: Simd>(simd: S, d: Line<S::Vector>) -> Line<S::Vector> {
        let t0 = simd.sub(d[0], d[2]);
        let t1 = simd.add(d[1], d[2]);
        let t2 = simd.sub(d[2], d[1]);
        let t3 = simd.sub(d[3], d[1]);
        [t0, t1, t2, t3, t0, t0]
    }

    #[inline(always)]
    fn filter<S: Simd>(simd: S, g: [S::Vector; 3]) -> Line<S::Vector> {
        let even = simd.add(g[0], g[2]);
        let [near, far] = [simd.add(even, g[1]), simd.sub(even, g[1])];
        [g[0], near, far, g[2], g[0], g[0]]
    }

    #[inline(always)]
    fn taps<S: Simd>(simd: S, u: Line<S::Vector>) -> [S::Vector; 3] {
        let even = simd.add(u[1], u[2]);
        [
            simd.add(u[0], even),
            simd.sub(u[1], u[2]),
            simd.add(even, u[3]),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, m: Line<S::Vector>) -> Line<S::Vector> {
        let y0 = simd.add(m[0], simd.add(m[1], m[2]));
        let y1 = simd.add(simd.sub(m[1], m[2]), m[3]);
        [y0, y1, y0, y0, y0, y0]
    }

    #[inline(always)]
    fn spread<S: Simd>(simd: S, y: Line<S::Vector>) -> Line<S::Vector> {
        [
            y[0],
            simd.add(y[0], y[1]),
            simd.sub(y[0], y[1]),
            y[1],
            y[0],
            y[0],
        ]
    }
}

/// F(4x4, 3x3), with points 0, 5/8, -5/8, 3/2, -3/2. Points of opposite sign
/// share terms, which keeps the transforms short. Errors are a third of what
/// the points 1, -1, 2, -2 give, and products of these points are exact.
pub(in crate::kernels::conv) struct Four;

const NEAR: f64 = 0.625;
const FAR: f64 = 1.5;
const NEAR2: f64 = NEAR * NEAR;
const FAR2: f64 = FAR * FAR;

/// The derivatives of `x (x^2 - NEAR^2) (x^2 - FAR^2)` at the points.
const AT_ZERO: f64 = NEAR2 * FAR2;
const AT_NEAR: f64 = 2.0 * NEAR2 * (NEAR2 - FAR2);
const AT_FAR: f64 = 2.0 * FAR2 * (FAR2 - NEAR2);

impl Tile for Four {
    const OUT: usize = 4;
    const IN: usize = 6;
    const SCALE: [f64; 6] = [
        1.0 / AT_ZERO,
        1.0 / AT_NEAR,
        1.0 / AT_NEAR,
        1.0 / AT_FAR,
        1.0 / AT_FAR,
        1.0,
    ];

    #[inline(always)]
    fn input<S: Simd>(simd: S, d: Line<S::Vector>) -> Line<S::Vector> {
        let (near, far) = (simd.splat(NEAR as f32), simd.splat(FAR as f32));
        let (near2, far2) = (simd.splat(NEAR2 as f32), simd.splat(FAR2 as f32));
        let product = simd.splat(AT_ZERO as f32);
        let sum = simd.splat((NEAR2 + FAR2) as f32);
        let even1 = simd.neg_mul_add(far2, d[2], d[4]);
        let odd1 = simd.neg_mul_add(far2, d[1], d[3]);
        let even2 = simd.neg_mul_add(near2, d[2], d[4]);
        let odd2 = simd.neg_mul_add(near2, d[1], d[3]);
        [
            simd.mul_add(product, d[0], simd.neg_mul_add(sum, d[2], d[4])),
            simd.mul_add(near, odd1, even1),
            simd.neg_mul_add(near, odd1, even1),
            simd.mul_add(far, odd2, even2),
            simd.neg_mul_add(far, odd2, even2),
            simd.mul_add(product, d[1], simd.neg_mul_add(sum, d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn filter<S: Simd>(simd: S, g: [S::Vector; 3]) -> Line<S::Vector> {
        let (near, far) = (simd.splat(NEAR as f32), simd.splat(FAR as f32));
        let even1 = simd.mul_add(simd.splat(NEAR2 as f32), g[2], g[0]);
        let even2 = simd.mul_add(simd.splat(FAR2 as f32), g[2], g[0]);
        [
            g[0],
            simd.mul_add(near, g[1], even1),
            simd.neg_mul_add(near, g[1], even1),
            simd.mul_add(far, g[1], even2),
            simd.neg_mul_add(far, g[1], even2),
            g[2],
        ]
    }

    #[inline(always)]
    fn taps<S: Simd>(simd: S, u: Line<S::Vector>) -> [S::Vector; 3] {
        let (near, far) = (simd.splat(NEAR as f32), simd.splat(FAR as f32));
        let (near2, far2) = (simd.splat(NEAR2 as f32), simd.splat(FAR2 as f32));
        let (even1, odd1) = (simd.add(u[1], u[2]), simd.sub(u[1], u[2]));
        let (even2, odd2) = (simd.add(u[3], u[4]), simd.sub(u[3], u[4]));
        [
            simd.add(u[0], simd.add(even1, even2)),
            simd.mul_add(near, odd1, simd.mul(far, odd2)),
            simd.mul_add(near2, even1, simd.mul_add(far2, even2, u[5])),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, m: Line<S::Vector>) -> Line<S::Vector> {
        let (near, far) = (simd.splat(NEAR as f32), simd.splat(FAR as f32));
        let (near2, far2) = (simd.splat(NEAR2 as f32), simd.splat(FAR2 as f32));
        let (near3, far3) = (
            simd.splat((NEAR * NEAR2) as f32),
            simd.splat((FAR * FAR2) as f32),
        );
        let (even1, odd1) = (simd.add(m[1], m[2]), simd.sub(m[1], m[2]));
        let (even2, odd2) = (simd.add(m[3], m[4]), simd.sub(m[3], m[4]));
        let y0 = simd.add(m[0], simd.add(even1, even2));
        let y1 = simd.mul_add(near, odd1, simd.mul(far, odd2));
        let y2 = simd.mul_add(near2, even1, simd.mul(far2, even2));
        let y3 = simd.mul_add(near3, odd1, simd.mul_add(far3, odd2, m[5]));
        [y0, y1, y2, y3, y0, y0]
    }

    #[inline(always)]
    fn spread<S: Simd>(simd: S, y: Line<S::Vector>) -> Line<S::Vector> {
        let (near, far) = (simd.splat(NEAR as f32), simd.splat(FAR as f32));
        let (near2, far2) = (simd.splat(NEAR2 as f32), simd.splat(FAR2 as f32));
        let even1 = simd.mul_add(near2, y[2], y[0]);
        let odd1 = simd.mul_add(near2, y[3], y[1]);
        let even2 = simd.mul_add(far2, y[2], y[0]);
        let odd2 = simd.mul_add(far2, y[3], y[1]);
        [
            y[0],
            simd.mul_add(near, odd1, even1),
            simd.neg_mul_add(near, odd1, even1),
            simd.mul_add(far, odd2, even2),
            simd.neg_mul_add(far, odd2, even2),
            y[3],
        ]
    }
}
