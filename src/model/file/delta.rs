use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use sha2::{Digest, Sha256};

use crate::error::{FileError, Result, shown};
use crate::files::write_atomically;
use crate::graph::{Location, WeightSet};
use crate::weights::{self, Wanted, dtype_name, hash_tensor, hex};

use super::super::core::Model;
use super::options::LoadOptions;
use super::record::{FileRecord, Place, Sources};
use super::save::write_file;

impl Model {
    /// Writes a delta: only the parameters that differ from the pretrained
    /// weights. A new head takes kilobytes. The delta names the pretrained
    /// weights by repository, commit and hash, or by path. If they are in the
    /// folder of the delta, the path is relative to it: [`Model::load`] finds the
    /// weights again, also after the folder was moved. From any other folder they
    /// have to be given with [`LoadOptions::base`]. Every value is verified.
    ///
    /// The pretrained weights are read to compare them, from the cache if they
    /// came from a hub.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Dense, Head, Model, Vgg16};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (base, path) = (folder.path().join("base.safetensors"), folder.path().join("head"));
    /// # let pretrained = Vgg16::options().widths(16);
    /// # let pretrained = pretrained.untrained(0)?.truncate("block3_pool")?.build(&Device::Cpu)?;
    /// # pretrained.save(&base)?;
    /// let model = Vgg16::options().widths(16).pretrained_from(base)?
    ///     .truncate("block3_pool")?
    ///     .attach(Head::new().global_avg_pool2d("pool").dense("out", Dense::new(2)))?
    ///     .build(&Device::Cpu)?;
    /// model.save_delta(&path)?;
    /// let again = Model::load(&path, &Device::Cpu)?;
    /// assert_eq!(again.graph().parameter_count(), model.graph().parameter_count());
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Model::save`]; [`FileError::NoBase`] if no parameter came from a
    /// file or a hub; [`FileError::OverBase`] for the path of the pretrained
    /// weights; the errors of reading them.
    pub fn save_delta(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_delta_with(path, &LoadOptions::new())
    }

    /// As [`Model::save_delta`], with options: how the hub is reached, and
    /// where the pretrained weights are if they were moved. The delta names the
    /// new repository, or the new path of a local file. If the weights came
    /// from a repository and a local copy is given, the copy is only read: the
    /// delta names the repository, at the revision that the model was built
    /// from.
    ///
    /// # Errors
    /// As [`Model::save_delta`].
    pub fn save_delta_with(&self, path: impl AsRef<Path>, options: &LoadOptions) -> Result<()> {
        let path = path.as_ref();
        let mut sources = Sources::of(self, path.parent());
        if !sources.records.iter().any(|record| record.place.is_some()) {
            return Err(FileError::NoBase {
                file: shown(path),
                reason: sources.why_unnamed(),
            }
            .into());
        }
        let places = options
            .base
            .iter()
            .chain(sources.weights.iter().flatten().map(Arc::as_ref));
        check_apart(path, places)?;
        let mut unchanged = BTreeSet::new();
        let reading = (options, path.parent());
        for index in 0..sources.records.len() {
            unchanged.extend(self.note_unchanged(&mut sources, index, reading)?);
        }
        let record = FileRecord::of(self, sources)?;
        let tensors = self.packed_tensors(|key| !unchanged.contains(key))?;
        write_atomically(path, |out| write_file(out, &record, &tensors))
    }

    /// Records the hash of every parameter whose values equal the values in a
    /// source, and what identifies the source. Returns these parameters.
    fn note_unchanged(
        &self,
        sources: &mut Sources,
        index: usize,
        (options, folder): (&LoadOptions, Option<&Path>),
    ) -> Result<Vec<String>> {
        let (Some(place), Some(own)) = (&sources.records[index].place, &sources.weights[index])
        else {
            return Ok(Vec::new());
        };
        let (place, base) = match &options.base {
            None => (place.clone(), WeightSet::clone(own)),
            Some(given) => {
                let moved = Place::of(given, folder);
                let moved = moved.filter(|to| to.is_hub() || !place.is_hub());
                (moved.unwrap_or_else(|| place.clone()), given.clone())
            }
        };
        let (place, base) = pinned(place, base, options)?;
        let stored: Vec<(String, Tensor)> = self.named_tensors(|key| {
            let record = sources.parameters.get(key);
            record.is_some_and(|record| record.source == Some(index))
        });
        let wanted = stored.iter().map(|(key, tensor)| Wanted {
            keys: &sources.parameters[key].keys,
            shape: tensor.dims(),
            is_optional: base.is_partial(),
        });
        let wanted: Vec<Wanted<'_>> = wanted.collect();
        let original = weights::load(&base, &wanted, &options.build.load)?;
        let mut unchanged = Vec::new();
        for ((key, tensor), original) in stored.into_iter().zip(original) {
            let Some(original) = original else { continue };
            let hash = hash_of(&tensor)?;
            let original = original
                .tensor
                .to_dtype(self.dtype)?
                .to_dtype(tensor.dtype())?;
            if hash_of(&original)? == hash {
                if let Some(record) = sources.parameters.get_mut(&key) {
                    record.sha256 = Some(hash);
                    let is_narrow = tensor.dtype() != self.dtype;
                    record.dtype = is_narrow.then(|| dtype_name(tensor.dtype()));
                }
                unchanged.push(key);
            }
        }
        sources.records[index].place = Some(place);
        Ok(unchanged)
    }
}

/// Weights on a hub, with the commit and hash that they have now.
fn pinned(place: Place, base: WeightSet, options: &LoadOptions) -> Result<(Place, WeightSet)> {
    let (Place::Hub(mut hub), Location::Hub(_)) = (place.clone(), base.location()) else {
        return Ok((place, base));
    };
    let found = weights::identify(&base, &options.build.load)?;
    if let Some(commit) = found.commit {
        hub.revision = commit;
    }
    if found.sha256.is_some() {
        hub.sha256 = found.sha256;
    }
    let place = Place::Hub(hub);
    let base = place.weights(None);
    Ok((place, base))
}

/// Checks that a path is not the path of weights.
fn check_apart<'a>(path: &Path, mut weights: impl Iterator<Item = &'a WeightSet>) -> Result<()> {
    let Ok(own) = path.canonicalize() else {
        return Ok(());
    };
    let place = |set: &'a WeightSet| set.path()?.canonicalize().ok();
    if weights.any(|set| place(set).as_ref() == Some(&own)) {
        let file = shown(path);
        return Err(FileError::OverBase { file }.into());
    }
    Ok(())
}

/// The sha256 of a tensor's values in row order, as little-endian bytes.
pub(super) fn hash_of(tensor: &Tensor) -> Result<String> {
    let mut hasher = Sha256::new();
    hash_tensor(tensor, &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}
