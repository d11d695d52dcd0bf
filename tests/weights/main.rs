//! Weight files as people have them: names with prefixes, foreign formats,
//! layers that come from a file of their own.

mod foreign;
mod head;
#[cfg(feature = "keras")]
mod keras;
mod names;
