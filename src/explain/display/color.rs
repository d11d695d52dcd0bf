/// Colors for numbers from 0 to 1.
///
/// ```
/// use vgg_surgery::explain::ColorMap;
///
/// assert_eq!(ColorMap::Viridis.color(0.0), [0x44, 0x01, 0x54]);
/// assert_eq!(ColorMap::Gray.color(0.5), [128, 128, 128]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ColorMap {
    /// Black to white.
    Gray,
    /// Dark violet over green to yellow.
    #[default]
    Viridis,
    /// Black over magenta to pale yellow.
    Magma,
    /// Black over red to pale yellow.
    Inferno,
    /// Blue over white to red, for numbers of both signs: 1/2 stands for 0.
    /// The blue and the red are from Moreland, "Diverging Color Maps for
    /// Scientific Visualization", 2009.
    Diverging,
}

/// Colors of 33 numbers at equal steps from 0 to 1, as 0xRRGGBB.
type Knots = [u32; 33];

// Taken from matplotlib 3.10's color maps of the same names (van der Walt and
// Smith, 2015, public domain by CC0). Between knots, colors differ by at most 2
// levels.
const VIRIDIS: Knots = [
    0x440154, 0x470d60, 0x48186a, 0x482374, 0x472d7b, 0x453681, 0x424086, 0x3f4989, 0x3b528b,
    0x375a8d, 0x33638d, 0x2f6a8e, 0x2c728e, 0x297a8e, 0x26818e, 0x23898e, 0x21908c, 0x1f988b,
    0x1f9f88, 0x21a685, 0x28ae80, 0x31b57b, 0x3ebc74, 0x4cc26c, 0x5dc963, 0x6ece58, 0x82d34c,
    0x96d83f, 0xabdc32, 0xc0df24, 0xd5e21a, 0xeae51a, 0xfde725,
];
const MAGMA: Knots = [
    0x000004, 0x030311, 0x0a0822, 0x130d33, 0x1d1146, 0x28115a, 0x36106a, 0x430f76, 0x50127c,
    0x5d177f, 0x691c81, 0x762181, 0x822681, 0x8f2a81, 0x9c2e7f, 0xa9327d, 0xb63779, 0xc33b75,
    0xcf4170, 0xdb486a, 0xe65163, 0xee5c5e, 0xf5695c, 0xf9785d, 0xfb8761, 0xfd9668, 0xfea571,
    0xfeb47b, 0xfec387, 0xfed194, 0xfde0a2, 0xfceeb0, 0xfcfdbf,
];
const INFERNO: Knots = [
    0x000004, 0x040312, 0x0b0724, 0x150b37, 0x210c4a, 0x2e0a5a, 0x3c0965, 0x4a0c6b, 0x57106d,
    0x63146e, 0x70196e, 0x7d1e6d, 0x89226a, 0x962766, 0xa32b61, 0xaf315c, 0xbb3755, 0xc63e4d,
    0xd14644, 0xdb4f3b, 0xe35932, 0xeb6528, 0xf1711e, 0xf67f14, 0xf98d0a, 0xfb9c06, 0xfcab0f,
    0xfbba1f, 0xf9ca32, 0xf5d949, 0xf2e865, 0xf3f586, 0xfcffa4,
];

impl ColorMap {
    /// Red, green and blue of a number, which is clipped to 0 to 1. NaN counts
    /// as 0.
    pub fn color(self, value: f32) -> [u8; 3] {
        let value = if value.is_nan() {
            0.0
        } else {
            value.clamp(0.0, 1.0)
        };
        match self {
            Self::Gray => between(&[0x000000, 0xffffff], value),
            Self::Viridis => between(&VIRIDIS, value),
            Self::Magma => between(&MAGMA, value),
            Self::Inferno => between(&INFERNO, value),
            Self::Diverging => between(&[0x3b4cc0, 0xf7f7f7, 0xb40426], value),
        }
    }
}

/// The color at a position from 0 to 1 along equally spaced knots.
fn between(knots: &[u32], position: f32) -> [u8; 3] {
    let steps = knots.len() - 1;
    let position = position * steps as f32;
    let low = (position as usize).min(steps - 1);
    let fraction = position - low as f32;
    let bytes = |knot: u32| knot.to_be_bytes();
    let (from, to) = (bytes(knots[low]), bytes(knots[low + 1]));
    std::array::from_fn(|channel| {
        let (from, to) = (f32::from(from[channel + 1]), f32::from(to[channel + 1]));
        (from + (to - from) * fraction).round() as u8
    })
}
