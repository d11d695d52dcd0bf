use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Result, Tensor, TensorId};

use crate::kernels::{
    self, Algorithm, Conv2dGeometry, Direction, FilterWeights, Kernel, PackedFilter,
};

use super::tensors::with_slice;

/// A model's packed filters, shared by all programs. A parameter has a slot for
/// each way in which the kernels read it.
#[derive(Debug, Default)]
pub(in crate::ops) struct Filters(Mutex<HashMap<Key, Arc<FilterSlot>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    weight: TensorId,
    groups: usize,
    algorithm: Algorithm,
    direction: Direction,
    scaled: bool,
}

impl Filters {
    /// The slot of a weight `(O, I / groups, kH, kW)`, whose output channels may
    /// be `scaled`.
    pub(in crate::ops) fn slot(
        &self,
        weight: &Tensor,
        geometry: &Conv2dGeometry,
        direction: Direction,
        scaled: bool,
    ) -> Arc<FilterSlot> {
        let key = Key {
            weight: weight.id(),
            groups: geometry.config().groups,
            algorithm: Algorithm::of(geometry, direction),
            direction,
            scaled,
        };
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(key).or_insert_with(|| {
            Arc::new(FilterSlot {
                direction,
                packed: Mutex::default(),
            })
        });
        Arc::clone(slot)
    }
}

/// A filter that is packed once, and packed again when its values have changed.
///
/// A variable can change at any time, so outside training a checksum of its values
/// is computed before each use. In training the values change at every step, and
/// are packed again without a checksum. Large filters are not kept packed: the
/// kernels read their weights in each pass.
#[derive(Debug)]
pub(in crate::ops) struct FilterSlot {
    direction: Direction,
    packed: Mutex<Option<Packed>>,
}

#[derive(Debug)]
struct Packed {
    version: Version,
    scale: Option<Vec<f32>>,
    filter: Arc<PackedFilter>,
}

/// Identifies the values that a filter was packed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// Values that can't change.
    Fixed,
    Checksum(u64),
    Unknown,
}

/// The filter to pack.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Request<'a> {
    /// Contiguous `(O, I / groups, kH, kW)`.
    pub(in crate::ops) weight: &'a Tensor,
    pub(in crate::ops) geometry: &'a Conv2dGeometry,
    /// Factors of the output channels.
    pub(in crate::ops) scale: Option<&'a [f32]>,
    /// Whether the values have most likely changed since the last use.
    pub(in crate::ops) training: bool,
}

impl FilterSlot {
    pub(in crate::ops) fn get(&self, request: Request<'_>) -> Result<Arc<PackedFilter>> {
        if let Some(packed) = &*self.lock()
            && !packed.filter.is_kept()
        {
            return Ok(Arc::clone(&packed.filter));
        }
        let version = Version::of(request)?;
        let stale = {
            let mut packed = self.lock();
            match &*packed {
                Some(packed) if packed.is(version, request.scale) => {
                    return Ok(Arc::clone(&packed.filter));
                }
                _ => packed.take().map(|packed| packed.filter),
            }
        };
        // The lock is released here: the threads that pack may start another
        // pass, which waits for it.
        let filter = self.pack(request, stale)?;
        *self.lock() = Some(Packed {
            version,
            scale: request.scale.map(<[f32]>::to_vec),
            filter: Arc::clone(&filter),
        });
        Ok(filter)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Packed>> {
        self.packed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Packs the values into the memory of the stale filter if no pass still uses
    /// it, else into new memory.
    fn pack(
        &self,
        request: Request<'_>,
        stale: Option<Arc<PackedFilter>>,
    ) -> Result<Arc<PackedFilter>> {
        with_slice(request.weight, |values| {
            let weights = FilterWeights {
                values,
                scale: request.scale,
            };
            if let Some(mut filter) = stale
                && let Some(reused) = Arc::get_mut(&mut filter)
            {
                reused.update(weights);
                return Ok(filter);
            }
            let (kernel, geometry) = (Kernel::selected(), request.geometry);
            let packed = PackedFilter::pack(kernel, geometry, self.direction, None, weights);
            Ok(Arc::new(packed))
        })
    }
}

impl Version {
    fn of(request: Request<'_>) -> Result<Self> {
        if !request.weight.is_variable() {
            return Ok(Self::Fixed);
        }
        if request.training {
            return Ok(Self::Unknown);
        }
        with_slice(request.weight, |values| {
            Ok(Self::Checksum(kernels::checksum(values)))
        })
    }
}

impl Packed {
    fn is(&self, version: Version, scale: Option<&[f32]>) -> bool {
        version != Version::Unknown && self.version == version && self.scale.as_deref() == scale
    }
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
            scale: None,
            training: false,
        }
    }

    fn slot(weight: &Tensor, geometry: &Conv2dGeometry) -> Arc<FilterSlot> {
        Filters::default().slot(weight, geometry, Direction::Forward, false)
    }

    #[test]
    fn a_filter_is_packed_once_until_its_variable_changes() -> Result<()> {
        let geometry = geometry();
        let variable = Var::ones((3, 2, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
        let weight = variable.as_tensor();
        let slot = slot(weight, &geometry);
        let first = slot.get(request(weight, &geometry))?;
        let again = slot.get(request(weight, &geometry))?;
        assert!(Arc::ptr_eq(&first, &again));
        variable.set(&(weight * 2.0)?.detach())?;
        let changed = slot.get(request(weight, &geometry))?;
        assert!(!Arc::ptr_eq(&first, &changed));
        let scaled = Request {
            scale: Some(&[1.0, 2.0, 3.0]),
            ..request(weight, &geometry)
        };
        assert!(!Arc::ptr_eq(&changed, &slot.get(scaled)?));
        Ok(())
    }

    #[test]
    fn a_large_filter_is_not_packed() -> Result<()> {
        let geometry =
            Conv2dGeometry::new(Conv2dConfig::same(3).images(1, 8, 8).channels(256, 512)).unwrap();
        let variable = Var::ones((512, 256, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
        let weight = variable.as_tensor();
        let slot = slot(weight, &geometry);
        let first = slot.get(request(weight, &geometry))?;
        assert!(!first.is_kept());
        variable.set(&(weight * 2.0)?.detach())?;
        assert!(Arc::ptr_eq(&first, &slot.get(request(weight, &geometry))?));
        Ok(())
    }

    #[test]
    fn a_frozen_filter_is_packed_once() -> Result<()> {
        let geometry = geometry();
        let weight = Tensor::ones((3, 2, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
        let slot = slot(&weight, &geometry);
        let first = slot.get(request(&weight, &geometry))?;
        let training = Request {
            training: true,
            ..request(&weight, &geometry)
        };
        assert!(Arc::ptr_eq(&first, &slot.get(training)?));
        Ok(())
    }

    #[test]
    fn programs_share_the_slot_of_a_weight() -> Result<()> {
        let (filters, geometry) = (Filters::default(), geometry());
        let weight = Tensor::ones((3, 2, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
        let slot = |scaled| filters.slot(&weight, &geometry, Direction::Forward, scaled);
        assert!(Arc::ptr_eq(&slot(false), &slot(false)));
        assert!(!Arc::ptr_eq(&slot(false), &slot(true)));
        Ok(())
    }
}
