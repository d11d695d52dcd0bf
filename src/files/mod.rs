//! Files on disk, for all rooms: opened only if they are regular files, replaced
//! whole, and locked with a limit on the wait. In come paths; out come open files,
//! bytes, and errors that name the file.

mod abandoned;
#[cfg(feature = "hub")]
mod lock;
mod open;
mod replace;

#[cfg(feature = "hub")]
pub(crate) use lock::lock;
#[cfg(feature = "hub")]
pub(crate) use open::open_own;
pub(crate) use open::{open, read, read_at};
pub(crate) use replace::{Output, check_writable, write_atomically};
#[cfg(feature = "hub")]
pub(crate) use replace::{make_atomically, write_unsynced};
