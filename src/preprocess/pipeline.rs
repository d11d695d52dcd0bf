/// How a picture becomes the input of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing;
