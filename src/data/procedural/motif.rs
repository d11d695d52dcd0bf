use crate::preprocess::Labels;

macro_rules! motifs {
    ($($motif:ident $name:literal $what:literal,)*) => {
        /// The motif of a computed image.
        ///
        /// Textures fill the image at a random angle and scale. Shapes appear
        /// once or several times on a background.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Motif {
            $(#[doc = $what] $motif,)*
        }

        impl Motif {
            /// All motifs.
            pub const ALL: &'static [Self] = &[$(Self::$motif,)*];

            /// The name, in lower case.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$motif => $name,)*
                }
            }
        }
    };
}

motifs! {
    Stripes "stripes" "Straight stripes.",
    Waves "waves" "Wavy stripes.",
    Zigzag "zigzag" "Zigzag stripes.",
    Checks "checks" "A checkerboard.",
    Mesh "mesh" "Two crossing sets of thin lines.",
    Plaid "plaid" "Two crossing sets of translucent bands.",
    Weave "weave" "Strands over and under each other.",
    Bricks "bricks" "A brick wall.",
    Honeycomb "honeycomb" "Hexagons between thin lines.",
    Triangles "triangles" "A tiling of triangles.",
    Dots "dots" "Discs on a lattice.",
    Bubbles "bubbles" "Discs of random sizes at random positions.",
    Pluses "pluses" "Crosses on a lattice.",
    Scales "scales" "Rows of round scales.",
    Cells "cells" "Irregular tiles of different shades.",
    Cracks "cracks" "Irregular tiles between thin lines.",
    Maze "maze" "Arcs that form winding paths.",
    Diagonals "diagonals" "Short diagonals that form a maze.",
    Rings "rings" "Concentric rings.",
    Rays "rays" "Rays from a point.",
    Spiral "spiral" "A spiral.",
    Clouds "clouds" "Soft noise of several scales.",
    Marble "marble" "Veins.",
    Wood "wood" "Growth rings, stretched along the grain.",
    Granite "granite" "Fine grains of a few shades.",
    Camouflage "camouflage" "Blotches of a few shades.",
    Fur "fur" "Fine hairs in one direction.",
    Disc "disc" "Round shapes.",
    Ring "ring" "Round shapes with a hole.",
    Square "square" "Squares.",
    Triangle "triangle" "Triangles.",
    Star "star" "Five-pointed stars.",
    Cross "cross" "Crosses.",
    Crescent "crescent" "Crescents.",
    Heart "heart" "Hearts.",
    Arrow "arrow" "Arrows.",
    Gear "gear" "Cogwheels.",
}

impl Motif {
    /// Twelve motifs that [`Vgg16::nano`](crate::Vgg16) was not trained on, for
    /// use as new classes.
    pub const HELD_OUT: &'static [Self] = &[
        Self::Zigzag,
        Self::Plaid,
        Self::Bricks,
        Self::Honeycomb,
        Self::Bubbles,
        Self::Scales,
        Self::Maze,
        Self::Spiral,
        Self::Wood,
        Self::Camouflage,
        Self::Cross,
        Self::Heart,
    ];

    /// All motifs except [`HELD_OUT`](Self::HELD_OUT), in order.
    pub fn trained_on() -> Vec<Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|motif| !Self::HELD_OUT.contains(motif))
            .collect()
    }

    pub(super) fn labels(motifs: &[Self]) -> Labels {
        Labels::new(motifs.iter().map(|motif| motif.name()))
    }
}
