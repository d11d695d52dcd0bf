use crate::preprocess::Labels;

macro_rules! motifs {
    ($($motif:ident $name:literal $what:literal,)*) => {
        /// What a computed image shows.
        ///
        /// Textures fill the image at a random angle and scale; shapes stand
        /// once or several times before a background.
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
    Waves "waves" "Stripes that swing.",
    Zigzag "zigzag" "Stripes with corners.",
    Checks "checks" "A chequerboard.",
    Mesh "mesh" "Two sets of thin lines that cross.",
    Plaid "plaid" "Two sets of broad bands that shine through each other.",
    Weave "weave" "Strands over and under each other.",
    Bricks "bricks" "A brick wall.",
    Honeycomb "honeycomb" "Hexagons between thin lines.",
    Triangles "triangles" "A tiling of triangles.",
    Dots "dots" "Discs on a lattice.",
    Bubbles "bubbles" "Discs of all sizes at random places.",
    Pluses "pluses" "Crosses on a lattice.",
    Scales "scales" "Rows of round scales.",
    Cells "cells" "Irregular tiles, each of its own shade.",
    Cracks "cracks" "Irregular tiles of one shade between thin lines.",
    Maze "maze" "Arcs that join to winding paths.",
    Diagonals "diagonals" "Short diagonals that join to a maze.",
    Rings "rings" "Concentric rings.",
    Rays "rays" "Rays from a point.",
    Spiral "spiral" "A spiral.",
    Clouds "clouds" "Soft noise of many scales.",
    Marble "marble" "Veins.",
    Wood "wood" "Bent annual rings, stretched along the grain.",
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
    /// Twelve motifs that the network of [`Vgg16::nano`](crate::Vgg16) was not
    /// trained on: new classes to learn.
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

    /// All motifs but the [`HELD_OUT`](Self::HELD_OUT), in order.
    pub fn trained_on() -> Vec<Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|motif| !Self::HELD_OUT.contains(motif))
            .collect()
    }

    pub(super) fn labels(motifs: &[Self]) -> Labels {
        Labels::new(motifs.iter().map(|motif| motif.name()))
    }
}
