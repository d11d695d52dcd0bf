//! The part of protocol buffers that writing ONNX needs.
//!
//! Source: the encoding at protobuf.dev/programming-guides/encoding, and the
//! field numbers of onnx/onnx.proto3 (ONNX 1.23).

use candle_core::Tensor;

use crate::error::Result;
use crate::files::Output;
use crate::weights::write_values;

const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

/// A message under construction. Tensors are converted to bytes when the
/// message is written.
#[derive(Default)]
pub(super) struct Message {
    pieces: Vec<Piece>,
    bytes: usize,
}

enum Piece {
    Bytes(Vec<u8>),
    Values(Tensor),
}

impl Message {
    fn raw(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        match self.pieces.last_mut() {
            Some(Piece::Bytes(tail)) => tail.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Bytes(bytes.to_vec())),
        }
    }

    fn tag(&mut self, field: u64, kind: u64) {
        self.raw(&varint(field << 3 | kind));
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn int(mut self, field: u64, value: i64) -> Self {
        self.tag(field, VARINT);
        // Negative numbers are written as their two's complement.
        self.raw(&varint(value.cast_unsigned()));
        self
    }

    pub(super) fn float(mut self, field: u64, value: f32) -> Self {
        self.tag(field, FIXED_32);
        self.raw(&value.to_le_bytes());
        self
    }

    pub(super) fn text(self, field: u64, text: &str) -> Self {
        self.delimited(field, text.as_bytes())
    }

    pub(super) fn ints(self, field: u64, values: &[i64]) -> Self {
        let values = values.iter();
        let packed: Vec<u8> = values.flat_map(|v| varint(v.cast_unsigned())).collect();
        self.delimited(field, &packed)
    }

    fn delimited(mut self, field: u64, bytes: &[u8]) -> Self {
        self.tag(field, LENGTH_DELIMITED);
        self.raw(&varint(bytes.len() as u64));
        self.raw(bytes);
        self
    }

    /// The bytes of an f32 tensor's values, in row order.
    pub(super) fn values(mut self, field: u64, tensor: Tensor) -> Self {
        let bytes = tensor.elem_count() * tensor.dtype().size_in_bytes();
        self.tag(field, LENGTH_DELIMITED);
        self.raw(&varint(bytes as u64));
        self.bytes += bytes;
        self.pieces.push(Piece::Values(tensor));
        self
    }

    pub(super) fn message(mut self, field: u64, message: Self) -> Self {
        self.tag(field, LENGTH_DELIMITED);
        self.raw(&varint(message.bytes as u64));
        self.bytes += message.bytes;
        self.pieces.extend(message.pieces);
        self
    }

    pub(super) fn messages(self, field: u64, messages: Vec<Self>) -> Self {
        let messages = messages.into_iter();
        messages.fold(self, |whole, message| whole.message(field, message))
    }

    pub(super) fn write(&self, out: &mut Output<'_>) -> Result<()> {
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => out.write(bytes)?,
                Piece::Values(tensor) => write_values(tensor, &mut |bytes| out.write(bytes))?,
            }
        }
        Ok(())
    }
}

/// Seven bits in each byte, lowest first; the eighth bit is set if more bytes
/// follow.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2);
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = Output::new("memory".as_ref(), &mut bytes);
        message.write(&mut out).unwrap();
        assert_eq!(bytes.len(), message.len());
        bytes
    }

    /// The examples of the encoding's own documentation.
    #[test]
    fn messages_are_encoded_as_the_documentation_shows() {
        let number = Message::default().int(1, 150);
        assert_eq!(bytes(&number), [0x08, 0x96, 0x01]);
        let text = Message::default().text(2, "testing");
        assert_eq!(bytes(&text), b"\x12\x07testing");
        let inner = Message::default().message(3, number);
        assert_eq!(bytes(&inner), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let packed = Message::default().ints(6, &[3, 270, 86942]);
        assert_eq!(
            bytes(&packed),
            [0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05]
        );
        let negative = Message::default().int(1, -2);
        let twos_complement = [
            0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ];
        assert_eq!(bytes(&negative), twos_complement);
    }

    #[test]
    fn values_are_written_in_their_field() {
        let tensor = Tensor::new(&[1f32, -2.0], &candle_core::Device::Cpu).unwrap();
        let message = Message::default().int(2, 1).values(9, tensor).text(8, "w");
        let mut expected = vec![0x10, 1, 0x4a, 8];
        expected.extend(1f32.to_le_bytes());
        expected.extend((-2f32).to_le_bytes());
        expected.extend(b"\x42\x01w");
        assert_eq!(bytes(&message), expected);
        let whole = Message::default().messages(5, vec![message]);
        assert_eq!(bytes(&whole)[..2], [0x2a, expected.len() as u8]);
    }
}
