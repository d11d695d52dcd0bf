//! The caches of this CPU. They decide how much work is done at a time and never
//! change a result.

use std::sync::OnceLock;

/// The sizes of caches in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caches {
    /// A thread's part of the level-2 cache.
    pub level_2: usize,
    /// The last level, which all threads share.
    pub last: usize,
}

impl Caches {
    /// The sizes that the system reports: on Linux for the first CPU, on macOS for
    /// the fast cores. Where it reports none, 1 and 32 MiB.
    pub fn of_this_cpu() -> Self {
        static CACHES: OnceLock<Caches> = OnceLock::new();
        *CACHES.get_or_init(|| {
            system::reported().unwrap_or(Self {
                level_2: 1 << 20,
                last: 32 << 20,
            })
        })
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::path::Path;

    use super::Caches;

    pub(super) fn reported() -> Option<Caches> {
        in_folder(Path::new("/sys/devices/system/cpu/cpu0/cache"))
    }

    /// The caches that a folder of Linux describes, `index0` and so on in order of
    /// their levels.
    fn in_folder(folder: &Path) -> Option<Caches> {
        let mut caches = None;
        for index in 0.. {
            let read = |name: &str| {
                let path = folder.join(format!("index{index}")).join(name);
                Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
            };
            let Some(level) = read("level") else {
                break;
            };
            if level == "1" || read("type")? == "Instruction" {
                continue;
            }
            let bytes = bytes(&read("size")?)?;
            let found = caches.get_or_insert(Caches {
                level_2: bytes / cpus(&read("shared_cpu_list")?)?,
                last: bytes,
            });
            found.last = bytes;
        }
        caches
    }

    /// `1024K` as a number of bytes.
    fn bytes(size: &str) -> Option<usize> {
        let kilobytes: usize = size.strip_suffix('K')?.parse().ok()?;
        kilobytes.checked_mul(1024)
    }

    /// How many CPUs `0-3,8` lists.
    fn cpus(list: &str) -> Option<usize> {
        list.split(',').try_fold(0_usize, |sum, range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            sum.checked_add(last.checked_sub(first)?)?.checked_add(1)
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// A folder as Linux has it, a line for each cache: level, type, size, CPUs.
        fn reported(lines: &[[&str; 4]]) -> Option<Caches> {
            let folder = tempfile::tempdir().unwrap();
            for (index, values) in lines.iter().enumerate() {
                let folder = folder.path().join(format!("index{index}"));
                std::fs::create_dir(&folder).unwrap();
                let names = ["level", "type", "size", "shared_cpu_list"];
                for (name, value) in names.into_iter().zip(values) {
                    std::fs::write(folder.join(name), format!("{value}\n")).unwrap();
                }
            }
            in_folder(folder.path())
        }

        const DATA: [&str; 4] = ["1", "Data", "32K", "0"];
        const INSTRUCTIONS: [&str; 4] = ["1", "Instruction", "48K", "0"];

        #[test]
        fn caches_are_read_as_linux_describes_them() {
            let server = [
                DATA,
                INSTRUCTIONS,
                ["2", "Unified", "2048K", "0,64"],
                ["3", "Unified", "32768K", "0-7,64-71"],
            ];
            let expected = Caches {
                level_2: 1 << 20,
                last: 32 << 20,
            };
            assert_eq!(reported(&server), Some(expected));
            let cortex_a72 = [DATA, INSTRUCTIONS, ["2", "Unified", "1024K", "0-3"]];
            let expected = Caches {
                level_2: 256 << 10,
                last: 1 << 20,
            };
            assert_eq!(reported(&cortex_a72), Some(expected));
        }

        #[test]
        fn what_is_missing_or_unreadable_is_not_guessed() {
            assert_eq!(reported(&[]), None);
            assert_eq!(reported(&[DATA, INSTRUCTIONS]), None);
            for damaged in [
                ["2", "Unified", "", "0"],
                ["2", "Unified", "1M", "0"],
                ["2", "Unified", "99999999999999999999K", "0"],
                ["2", "Unified", "18446744073709551615K", "0"],
                ["2", "Unified", "1024K", ""],
                ["2", "Unified", "1024K", "3-1"],
                ["2", "Unified", "1024K", "0-18446744073709551615"],
            ] {
                assert_eq!(reported(&[DATA, damaged]), None, "{damaged:?}");
            }
        }
    }
}

#[cfg(target_os = "macos")]
mod system {
    use std::ffi::{CStr, c_char, c_int, c_void};

    use super::Caches;

    // SAFETY: the declaration of Apple's <sys/sysctl.h>.
    unsafe extern "C" {
        fn sysctlbyname(
            name: *const c_char,
            value: *mut c_void,
            len: *mut usize,
            new: *const c_void,
            new_len: usize,
        ) -> c_int;
    }

    pub(super) fn reported() -> Option<Caches> {
        let last = number(c"hw.perflevel0.l2cachesize").or_else(|| number(c"hw.l2cachesize"))?;
        let sharing = number(c"hw.perflevel0.cpusperl2").unwrap_or(1);
        Some(Caches {
            level_2: last / sharing,
            last: number(c"hw.l3cachesize").unwrap_or(last),
        })
    }

    /// A positive number that the system reports by this name.
    fn number(name: &CStr) -> Option<usize> {
        let mut value = 0_u64;
        let mut len = size_of::<u64>();
        // SAFETY: the name ends with a zero byte, and `value` holds `len` bytes. A
        // number of four bytes fills the lower half of it.
        let status = unsafe {
            let value = (&raw mut value).cast();
            sysctlbyname(name.as_ptr(), value, &mut len, std::ptr::null(), 0)
        };
        let value = usize::try_from(value).ok()?;
        (status == 0 && value > 0).then_some(value)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod system {
    use super::Caches;

    pub(super) fn reported() -> Option<Caches> {
        None
    }
}
