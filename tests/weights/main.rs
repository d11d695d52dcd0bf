//! Weight files as people have them: names with prefixes, foreign formats.

mod foreign;
mod names;
