//! What a local hub serves.

#![allow(dead_code, reason = "each test crate uses a part")]

use std::collections::BTreeMap;
use std::ops::Range;

/// A file, which need not exist anywhere.
pub trait Content: Send + Sync {
    fn bytes(&self) -> u64;
    fn read(&self, range: Range<u64>) -> Vec<u8>;
}

impl Content for Vec<u8> {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, range: Range<u64>) -> Vec<u8> {
        self[range.start as usize..range.end as usize].to_vec()
    }
}

/// A safetensors file of f32 tensors of which only the header is held; an
/// element's value follows from its place in the file.
pub struct Sparse {
    header: Vec<u8>,
    tensors: BTreeMap<String, Range<u64>>,
    bytes: u64,
}

impl Sparse {
    /// Lays the tensors out as the safetensors writer does: by name.
    pub fn new(shapes: &[(String, Vec<usize>)]) -> Self {
        let mut shapes = shapes.to_vec();
        shapes.sort();
        let mut json = String::from("{\"__metadata__\":{\"format\":\"pt\"}");
        let mut end = 0;
        let mut offsets = Vec::new();
        for (key, shape) in &shapes {
            let begin = end;
            end += 4 * shape.iter().product::<usize>() as u64;
            offsets.push((key.clone(), begin..end));
            json += &format!(
                ",\"{key}\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{begin},{end}]}}"
            );
        }
        json.push('}');
        while json.len() % 8 != 0 {
            json.push(' ');
        }
        let mut header = (json.len() as u64).to_le_bytes().to_vec();
        header.extend(json.bytes());
        let start = header.len() as u64;
        Self {
            tensors: offsets
                .into_iter()
                .map(|(key, range)| (key, start + range.start..start + range.end))
                .collect(),
            bytes: start + end,
            header,
        }
    }

    /// VGG16 as timm stores it: 553 MB.
    pub fn vgg16() -> Self {
        let convolutions = [
            (0, 64, 3),
            (2, 64, 64),
            (5, 128, 64),
            (7, 128, 128),
            (10, 256, 128),
            (12, 256, 256),
            (14, 256, 256),
            (17, 512, 256),
            (19, 512, 512),
            (21, 512, 512),
            (24, 512, 512),
            (26, 512, 512),
            (28, 512, 512),
        ];
        let mut shapes = Vec::new();
        for (index, out, input) in convolutions {
            shapes.push((format!("features.{index}.weight"), vec![out, input, 3, 3]));
            shapes.push((format!("features.{index}.bias"), vec![out]));
        }
        for (name, shape) in [
            ("pre_logits.fc1", vec![4096, 512, 7, 7]),
            ("pre_logits.fc2", vec![4096, 4096, 1, 1]),
            ("head.fc", vec![1000, 4096]),
        ] {
            shapes.push((format!("{name}.bias"), vec![shape[0]]));
            shapes.push((format!("{name}.weight"), shape));
        }
        Self::new(&shapes)
    }

    /// The value of one element of a tensor.
    pub fn value(&self, key: &str, element: usize) -> f32 {
        value_at(self.tensors[key].start + 4 * element as u64)
    }

    /// All values of a tensor.
    pub fn values(&self, key: &str) -> Vec<f32> {
        let range = self.tensors[key].clone();
        range.step_by(4).map(value_at).collect()
    }

    /// Bytes of the JSON and its length.
    pub fn header_bytes(&self) -> u64 {
        self.header.len() as u64
    }
}

/// Small, and different in neighboring places.
fn value_at(offset: u64) -> f32 {
    let mixed = (offset / 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    (mixed as f32 - 32_768.0) / 1_000_000.0
}

impl Content for Sparse {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&self, range: Range<u64>) -> Vec<u8> {
        let start = self.header.len() as u64;
        range
            .map(|offset| match self.header.get(offset as usize) {
                Some(&byte) if offset < start => byte,
                _ => {
                    let place = offset - start;
                    value_at(start + place / 4 * 4).to_le_bytes()[(place % 4) as usize]
                }
            })
            .collect()
    }
}
