//! Weights as int8.

use candle_core::{DType, Device, Tensor};

/// A weight as whole numbers from -127 to 127, and the scale of each row
/// `(out, 1)`; both on the CPU, in f64 if the weight is in f64, else in f32.
/// `None` if the weight is not finite.
pub(crate) fn int8_steps(weight: &Tensor) -> candle_core::Result<Option<(Tensor, Tensor)>> {
    let weight = match weight.dtype() {
        DType::F64 => weight.clone(),
        _ => weight.to_dtype(DType::F32)?,
    };
    let weight = weight.to_device(&Device::Cpu)?;
    let most: Vec<f64> = weight.abs()?.max(1)?.to_dtype(DType::F64)?.to_vec1()?;
    if most.iter().any(|most| !most.is_finite()) {
        return Ok(None);
    }
    let rows = most.len();
    // Any scale is right for a row of zeros.
    let scale: Vec<f64> = most.into_iter().map(|most| step(most / 127.0)).collect();
    let scale = Tensor::from_vec(scale, (rows, 1), weight.device())?;
    let scale = scale.to_dtype(weight.dtype())?;
    // Turns -0 into 0.
    let steps = (weight.broadcast_div(&scale)?.round()? + 0.0)?;
    Ok(Some((steps, scale)))
}

/// The next larger number with 16 significant bits. Its products with the whole
/// numbers up to 127 are exact in f32, so the scale can be recovered from them.
fn step(least: f64) -> f64 {
    if least < f64::from(f32::MIN_POSITIVE) {
        return 1.0;
    }
    let unit = 2f64.powi(least.log2().floor() as i32 - 15);
    (least / unit).ceil() * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_again_from_its_products() {
        for least in [1e-30, 0.1, 0.0123, 1.0, 1.9999, 3.0e4, 0.5 / 127.0] {
            let found = step(least);
            assert!(
                found >= least && found < least * (1.0 + 1.0 / 32768.0),
                "{least}"
            );
            let product = (found * 127.0) as f32;
            assert_eq!(f64::from(product), found * 127.0, "{least}");
            assert_eq!(step(f64::from(product) / 127.0), found, "{least}");
        }
        assert_eq!(step(0.0), 1.0);
    }
}
