//! Whether values fit into memory, asked before they are allocated: an allocation
//! that fails ends the process.

/// Whether this many values fit into memory.
pub(crate) fn has_room<T>(count: usize) -> bool {
    Vec::<T>::new().try_reserve_exact(count).is_ok()
}
