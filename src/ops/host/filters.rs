use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor, TensorId};

use crate::kernels::{self, Algorithm, Conv2dGeometry, FilterWeights, Kernel, PackedFilter};

use super::tensors::with_slice;

/// Filters as the kernels read them, packed once for each parameter and
/// algorithm and again when its values have changed.
///
/// A variable may be written to by anyone who holds it, so its values are
/// summed up before each use outside training; in training they change at
/// every step, and are packed at every step. Large filters are not kept
/// packed: the kernels read their weights in each pass.
#[derive(Debug, Default)]
pub(super) struct Filters(Mutex<HashMap<Key, Packed>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    weight: TensorId,
    groups: usize,
    algorithm: Algorithm,
    direction: Direction,
    scaled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    Forward,
    InputGradient,
}

#[derive(Debug)]
struct Packed {
    version: Version,
    /// Factors of the channels out.
    scale: Option<Vec<f32>>,
    filter: Arc<PackedFilter>,
}

/// Of which values a filter was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// Values that can't change.
    Fixed,
    Checksum(u64),
    Unknown,
}

/// The filter that is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// Contiguous `(O, I / groups, kH, kW)`.
    pub(super) weight: &'a Tensor,
    pub(super) geometry: &'a Conv2dGeometry,
    pub(super) direction: Direction,
    /// Factors of the channels out.
    pub(super) scale: Option<&'a [f32]>,
    /// Whether the values have changed since the last use in all likelihood.
    pub(super) training: bool,
}

impl Filters {
    pub(super) fn get(&self, request: Request<'_>) -> Result<Arc<PackedFilter>> {
        let Request {
            weight,
            geometry,
            direction,
            scale,
            training,
        } = request;
        let key = Key {
            weight: weight.id(),
            groups: geometry.config().groups,
            algorithm: match direction {
                Direction::Forward => Algorithm::forward(geometry),
                Direction::InputGradient => Algorithm::input_gradient(geometry),
            },
            direction,
            scaled: scale.is_some(),
        };
        let packed = self.lock().get(&key).map(|packed| packed.filter.clone());
        if let Some(filter) = packed
            && !filter.is_kept()
        {
            return Ok(filter);
        }
        let version = if !weight.is_variable() {
            Version::Fixed
        } else if training {
            Version::Unknown
        } else {
            with_slice(weight, |values| {
                Ok(Version::Checksum(kernels::checksum(values)))
            })?
        };
        let stale = {
            let mut filters = self.lock();
            match filters.get(&key) {
                Some(packed)
                    if version != Version::Unknown
                        && packed.version == version
                        && packed.scale.as_deref() == scale =>
                {
                    return Ok(Arc::clone(&packed.filter));
                }
                _ => filters.remove(&key).map(|packed| packed.filter),
            }
        };
        let filter = pack(request, stale)?;
        let packed = Packed {
            version,
            scale: scale.map(<[f32]>::to_vec),
            filter: Arc::clone(&filter),
        };
        self.lock().insert(key, packed);
        Ok(filter)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Packed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Packs the values anew, in the memory of the stale filter if nobody reads
/// it.
fn pack(request: Request<'_>, stale: Option<Arc<PackedFilter>>) -> Result<Arc<PackedFilter>> {
    let Request {
        weight,
        geometry,
        direction,
        scale,
        ..
    } = request;
    with_slice(weight, |values| {
        let weights = FilterWeights { values, scale };
        if let Some(mut filter) = stale
            && let Some(reused) = Arc::get_mut(&mut filter)
        {
            reused.update(weights);
            return Ok(filter);
        }
        let kernel = Kernel::selected();
        Ok(Arc::new(match direction {
            Direction::Forward => PackedFilter::forward(kernel, geometry, weights),
            Direction::InputGradient => PackedFilter::input_gradient(kernel, geometry, weights),
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Conv2dConfig;
    use candle_core::{Device, Var};

    fn geometry() -> Conv2dGeometry {
        Conv2dGeometry::new(Conv2dConfig::same(3).images(1, 8, 8).channels(2, 3)).unwrap()
    }

    fn request<'a>(weight: &'a Tensor, geometry: &'a Conv2dGeometry) -> Request<'a> {
        Request {
            weight,
            geometry,
            direction: Direction::Forward,
            scale: None,
            training: false,
        }
    }

    #[test]
    fn a_filter_is_packed_once_until_its_variable_changes() -> Result<()> {
        let filters = Filters::default();
        let geometry = geometry();
        let variable = Var::ones((3, 2, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
        let weight = variable.as_tensor();
        let first = filters.get(request(weight, &geometry))?;
        let again = filters.get(request(weight, &geometry))?;
        assert!(Arc::ptr_eq(&first, &again));
        variable.set(&(weight * 2.0)?.detach())?;
        let changed = filters.get(request(weight, &geometry))?;
        assert!(!Arc::ptr_eq(&first, &changed));
        let scaled = Request {
            scale: Some(&[1.0, 2.0, 3.0]),
            ..request(weight, &geometry)
        };
        assert!(!Arc::ptr_eq(&changed, &filters.get(scaled)?));
        Ok(())
    }

    #[test]
    fn a_large_filter_is_not_packed() -> Result<()> {
        let filters = Filters::default();
        let geometry =
            Conv2dGeometry::new(Conv2dConfig::same(3).images(1, 8, 8).channels(256, 512)).unwrap();
        let variable = Var::ones((512, 256, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
        let weight = variable.as_tensor();
        let first = filters.get(request(weight, &geometry))?;
        assert!(!first.is_kept());
        variable.set(&(weight * 2.0)?.detach())?;
        assert!(Arc::ptr_eq(
            &first,
            &filters.get(request(weight, &geometry))?
        ));
        Ok(())
    }

    #[test]
    fn a_frozen_filter_is_packed_once() -> Result<()> {
        let filters = Filters::default();
        let geometry = geometry();
        let weight = Tensor::ones((3, 2, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
        let first = filters.get(request(&weight, &geometry))?;
        let training = Request {
            training: true,
            ..request(&weight, &geometry)
        };
        assert!(Arc::ptr_eq(&first, &filters.get(training)?));
        Ok(())
    }
}
