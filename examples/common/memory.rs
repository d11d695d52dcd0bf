//! How much memory an example may take.

use clap::Args;

#[derive(Args)]
pub struct MemoryArguments {
    /// The most memory that an image may take in the network, in GB. One that needs
    /// more is refused before it is resized
    #[arg(long, value_name = "GB", default_value_t = 8.0)]
    memory_limit: f64,
}

impl MemoryArguments {
    pub fn bytes(&self) -> u64 {
        (self.memory_limit * 1e9) as u64
    }
}
