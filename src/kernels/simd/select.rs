//! Which instruction set runs.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512::Avx512;
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::portable::Portable;
use super::{Job, Simd};

/// The environment variable that names the kernel to use.
const VARIABLE: &str = "VGG_SURGERY_KERNEL";

/// An instruction set that this CPU has.
///
/// Names: `avx512` (AVX-512F), `avx2` (AVX2, FMA and F16C), `neon` and
/// `portable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    Portable(Portable),
}

impl Kernel {
    /// The kernel that the environment variable `VGG_SURGERY_KERNEL` names, or
    /// the fastest if it is unset, unknown or not available. It is chosen once
    /// per process.
    pub fn selected() -> Self {
        static SELECTED: OnceLock<Kernel> = OnceLock::new();
        *SELECTED.get_or_init(|| Self::choose(std::env::var(VARIABLE).ok().as_deref()))
    }

    fn choose(wish: Option<&str>) -> Self {
        let fastest = || Self::available().next().unwrap_or(Self::portable());
        wish.and_then(Self::named).unwrap_or_else(fastest)
    }

    /// The kernel with this name, if it is known and the CPU has its features.
    pub fn named(name: &str) -> Option<Self> {
        Self::available().find(|kernel| kernel.name() == name)
    }

    /// Ordinary arithmetic, for every CPU.
    pub fn portable() -> Self {
        Self::Portable(Portable::new())
    }

    /// Every kernel of this CPU, fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        let sets = [
            #[cfg(target_arch = "x86_64")]
            Avx512::new().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Avx2::new().map(Self::Avx2),
            #[cfg(target_arch = "aarch64")]
            Neon::new().map(Self::Neon),
            Some(Self::Portable(Portable::new())),
        ];
        sets.into_iter().flatten()
    }

    /// The name, as the environment variable takes it.
    pub fn name(self) -> &'static str {
        self.constants().name
    }

    /// Columns of a register tile, the width of a packed panel.
    pub(in crate::kernels) fn nr(self) -> usize {
        self.constants().nr
    }

    pub(in crate::kernels) fn mr(self) -> usize {
        self.constants().mr
    }

    pub(in crate::kernels) fn sharing_rows(self) -> usize {
        self.constants().sharing_rows
    }

    #[inline(always)]
    fn constants(self) -> Constants {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Constants::of::<Avx512>(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Constants::of::<Avx2>(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => Constants::of::<Neon>(),
            Self::Portable(_) => Constants::of::<Portable>(),
        }
    }

    pub(in crate::kernels) fn run<J: Job>(self, job: J) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.run(job),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.run(job),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => simd.run(job),
            Self::Portable(simd) => simd.run(job),
        }
    }
}

/// The constants of a [`Simd`] type.
struct Constants {
    name: &'static str,
    nr: usize,
    mr: usize,
    sharing_rows: usize,
}

impl Constants {
    #[inline(always)]
    const fn of<S: Simd>() -> Self {
        Self {
            name: S::NAME,
            nr: S::NR,
            mr: S::MR,
            sharing_rows: S::SHARING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kernel;

    #[test]
    fn a_kernel_is_chosen_by_name_if_it_is_available() {
        assert_eq!(Kernel::choose(Some("portable")), Kernel::portable());
        let fastest = Kernel::choose(None);
        assert_eq!(Kernel::choose(Some("sse9")), fastest);
        assert_eq!(Some(fastest), Kernel::available().next());
        assert_eq!(Kernel::named("neon9"), None);
        for kernel in Kernel::available() {
            assert_eq!(Kernel::choose(Some(kernel.name())), kernel);
        }
    }
}
