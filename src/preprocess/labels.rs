/// The names of a network's classes, by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels;
