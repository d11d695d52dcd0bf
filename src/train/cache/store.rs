use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::error::Result;

use super::options::FeatureCache;
use super::row_file::RowFile;

/// Rows of f32 values, the first in memory, the others in a file.
pub(super) struct Store {
    layout: RowLayout,
    memory: Vec<f32>,
    file: Option<RowFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct RowLayout {
    /// Sizes in the order of the values.
    dims: Vec<usize>,
    /// Whether feature maps are stored channels last, as in the batch's memory.
    channels_last: bool,
}

impl RowLayout {
    fn of(batch: &Tensor) -> Result<Self> {
        let channels_last = batch.rank() == 4
            && !batch.is_contiguous()
            && batch.permute((0, 2, 3, 1))?.is_contiguous();
        let mut dims = batch.dims()[1..].to_vec();
        if channels_last {
            dims.rotate_left(1);
        }
        Ok(Self {
            dims,
            channels_last,
        })
    }

    fn length(&self) -> usize {
        self.dims.iter().product()
    }

    fn values(&self, batch: &Tensor) -> Result<Vec<f32>> {
        let batch = if self.channels_last {
            batch.permute((0, 2, 3, 1))?
        } else {
            batch.clone()
        };
        let batch = batch.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        Ok(batch.flatten_all()?.to_vec1()?)
    }

    fn tensor(&self, values: Vec<f32>, rows: usize) -> Result<Tensor> {
        let dims: Vec<usize> = std::iter::once(rows)
            .chain(self.dims.iter().copied())
            .collect();
        let tensor = Tensor::from_vec(values, dims, &Device::Cpu)?;
        Ok(if self.channels_last {
            tensor.permute((0, 3, 1, 2))?
        } else {
            tensor
        })
    }
}

impl Store {
    /// `None` if this many rows of the batch's kind exceed the limits.
    pub(super) fn new(batch: &Tensor, rows: usize, limits: &FeatureCache) -> Result<Option<Self>> {
        let layout = RowLayout::of(batch)?;
        let row_bytes = (layout.length() as u64).saturating_mul(4).max(1);
        let in_memory = (limits.memory_limit / row_bytes).min(rows as u64);
        let in_file = rows as u64 - in_memory;
        if in_file.saturating_mul(row_bytes) > limits.file_limit {
            return Ok(None);
        }
        let mut memory = Vec::new();
        let values = usize::try_from(in_memory * row_bytes / 4);
        let fits = values.is_ok_and(|values| memory.try_reserve_exact(values).is_ok());
        if !fits {
            return Ok(None);
        }
        let folder = || limits.folder.clone().unwrap_or_else(std::env::temp_dir);
        let file = (in_file > 0).then(|| RowFile::create(&folder()));
        let file = file.transpose()?;
        Ok(Some(Self {
            layout,
            memory,
            file,
        }))
    }

    pub(super) fn push(&mut self, batch: &Tensor) -> Result<()> {
        let values = self.layout.values(batch)?;
        let free = self.memory.capacity() - self.memory.len();
        let (memory, rest) = match &self.file {
            // The file begins with a whole row.
            Some(_) => {
                let row = self.layout.length().max(1);
                values.split_at((free / row * row).min(values.len()))
            }
            None => (values.as_slice(), &[][..]),
        };
        self.memory.extend_from_slice(memory);
        match &mut self.file {
            Some(file) => file.write(rest),
            None => Ok(()),
        }
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        self.memory.shrink_to_fit();
        match &mut self.file {
            Some(file) => file.finish(),
            None => Ok(()),
        }
    }

    pub(super) fn rows(&self, rows: &[usize]) -> Result<Tensor> {
        let length = self.layout.length();
        let mut values = vec![0.0f32; rows.len() * length];
        let copied: Result<Vec<()>> = values
            .par_chunks_mut(length.max(1))
            .zip(rows)
            .map(|(values, &row)| self.read(row, values))
            .collect();
        copied?;
        self.layout.tensor(values, rows.len())
    }

    fn read(&self, row: usize, values: &mut [f32]) -> Result<()> {
        let start = row * values.len();
        if let Some(stored) = self.memory.get(start..start + values.len()) {
            values.copy_from_slice(stored);
            return Ok(());
        }
        let Some(file) = &self.file else {
            let reason = format!("row {row} was never stored");
            return Err(candle_core::Error::msg(reason).into());
        };
        Ok(file.read(start - self.memory.len(), values)?)
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory.len() as u64 * 4
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, RowFile::bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn limits(memory: u64, file: u64, folder: &Path) -> FeatureCache {
        let cache = FeatureCache::new().memory_limit(memory);
        cache.file_limit(file).folder(folder)
    }

    fn numbers(rows: usize) -> Tensor {
        let values: Vec<f32> = (0..rows * 12).map(|value| value as f32).collect();
        Tensor::from_vec(values, (rows, 2, 3, 2), &Device::Cpu).unwrap()
    }

    fn channels_last(x: &Tensor) -> Tensor {
        let x = x.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
        x.permute((0, 3, 1, 2)).unwrap()
    }

    fn list(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn rows_come_back_as_they_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let x = numbers(5);
        for x in [x.clone(), channels_last(&x)] {
            // A row has 48 bytes: none, some and all in memory.
            for memory in [0, 100, 1000] {
                let limits = limits(memory, 1000, folder.path());
                let mut store = Store::new(&x, 5, &limits).unwrap().unwrap();
                for (from, rows) in [(0, 2), (2, 1), (3, 2)] {
                    store.push(&x.narrow(0, from, rows).unwrap()).unwrap();
                }
                store.finish().unwrap();
                assert_eq!(store.memory_bytes(), (memory / 48).min(5) * 48);
                assert_eq!(store.memory_bytes() + store.file_bytes(), 240);
                let rows = store.rows(&[4, 0, 3, 3]).unwrap();
                assert_eq!(rows.is_contiguous(), x.is_contiguous());
                let index = Tensor::new(&[4u32, 0, 3, 3], &Device::Cpu).unwrap();
                let expected = x.contiguous().unwrap().index_select(&index, 0).unwrap();
                assert_eq!(list(&rows), list(&expected));
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_left_behind_are_stepped_over() {
        let folder = tempfile::tempdir().unwrap();
        let process = std::process::id();
        for number in 0..64 {
            let name = format!("vgg-surgery-{process}-{number}.features");
            std::fs::write(folder.path().join(name), "left behind").unwrap();
        }
        let limits = limits(0, 1000, folder.path());
        let mut store = Store::new(&numbers(5), 5, &limits).unwrap().unwrap();
        if cfg!(unix) {
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 64);
        }
        store.push(&numbers(5)).unwrap();
        store.finish().unwrap();
        assert_eq!(
            list(&store.rows(&[3]).unwrap()),
            list(&numbers(5).narrow(0, 3, 1).unwrap())
        );
        drop(store);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 64);
    }

    #[test]
    fn what_does_not_fit_is_not_stored() {
        let limits = limits(100, 143, Path::new("/"));
        assert!(Store::new(&numbers(1), 5, &limits).unwrap().is_none());
    }
}
