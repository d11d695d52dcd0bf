//! Python's pickles, read as data: nothing is imported and nothing is called.
//! What a pickle would call is kept as an [`Object::Instance`].

use std::collections::HashMap;

/// Operations that one pickle may have. Each makes one object at most, so this
/// also bounds the memory.
const MAX_OPERATIONS: usize = 1 << 23;

/// A value, as its index in [`Pickle::objects`]. Values that a pickle mentions
/// twice are shared, so a value can be part of itself.
pub(super) type Id = u32;

/// Pairs of a key and a value.
pub(super) type Items = Vec<(Id, Id)>;

pub(super) enum Object<'a> {
    Integer(i128),
    Text(&'a str),
    /// A tuple, a list or a set.
    Sequence(Vec<Id>),
    Dict(Items),
    /// A class or a function: its module and its name.
    Global(&'a str, &'a str),
    Instance(Box<Instance>),
    /// What the writer kept elsewhere.
    Persistent(Id),
    Flag(bool),
    /// A number with a fraction, bytes, or nothing.
    Other,
}

/// What a call of a class or function gives.
pub(super) struct Instance {
    pub(super) class: Id,
    pub(super) arguments: Id,
    pub(super) items: Items,
    pub(super) state: Option<Id>,
}

pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    pub(super) root: Id,
    /// Bytes up to its end.
    pub(super) length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle that `bytes` begins with. The reason of an error is for
    /// a message about the file.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut machine = Machine {
            bytes,
            at: 0,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        let root = machine.run()?;
        Ok(Self {
            objects: machine.objects,
            root,
            length: machine.at,
        })
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(super) fn get(&self, id: Id) -> &Object<'a> {
        self.objects.get(id as usize).unwrap_or(&Object::Other)
    }
}

/// Python's pickle machine.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, String> {
        for _ in 0..MAX_OPERATIONS {
            let [code] = self.fixed()?;
            if code == b'.' {
                return self.pop();
            }
            let is_known = self.number(code)?
                || self.text(code)?
                || self.structure(code)?
                || self.call(code)?;
            if !is_known {
                return Err(format!(
                    "its pickle has the operation {code:#04x}, which torch.save does not write"
                ));
            }
        }
        Err(format!(
            "its pickle has more than {MAX_OPERATIONS} operations"
        ))
    }

    fn number(&mut self, code: u8) -> Result<bool, String> {
        let value = match code {
            b'J' => i32::from_le_bytes(self.fixed()?).into(),
            b'K' => u8::from_le_bytes(self.fixed()?).into(),
            b'M' => u16::from_le_bytes(self.fixed()?).into(),
            0x8a => {
                let length = u8::from_le_bytes(self.fixed()?);
                return self.long(length.into());
            }
            0x8b => {
                let length = self.length32()?;
                return self.long(length);
            }
            b'G' => {
                self.take(8)?;
                return self.push(Object::Other);
            }
            b'N' => return self.push(Object::Other),
            0x88 | 0x89 => return self.push(Object::Flag(code == 0x88)),
            _ => return Ok(false),
        };
        self.push(Object::Integer(value))
    }

    fn long(&mut self, length: usize) -> Result<bool, String> {
        let bytes = self.take(length)?;
        let mut wide = [0; 16];
        if bytes.last().is_some_and(|&last| last >= 0x80) {
            wide = [0xff; 16];
        }
        let Some(low) = wide.get_mut(..length) else {
            return self.push(Object::Other);
        };
        low.copy_from_slice(bytes);
        self.push(Object::Integer(i128::from_le_bytes(wide)))
    }

    fn text(&mut self, code: u8) -> Result<bool, String> {
        let length = match code {
            b'U' | b'C' | 0x8c => u8::from_le_bytes(self.fixed()?).into(),
            b'T' | b'B' | b'X' => self.length32()?,
            0x8d | 0x8e | 0x96 => self.length64()?,
            _ => return Ok(false),
        };
        let bytes = self.take(length)?;
        let is_text = matches!(code, b'U' | b'T' | b'X' | 0x8c | 0x8d);
        let text = std::str::from_utf8(bytes).ok().filter(|_| is_text);
        self.push(text.map_or(Object::Other, Object::Text))
    }

    fn structure(&mut self, code: u8) -> Result<bool, String> {
        match code {
            0x80 => drop(self.take(1)?),
            // A frame says only how much to read ahead.
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b')' | b']' | 0x8f => return self.push(Object::Sequence(Vec::new())),
            b't' | 0x91 | b'l' => {
                let parts = self.pop_to_mark()?;
                return self.push(Object::Sequence(parts));
            }
            0x85..=0x87 => {
                let mut parts = Vec::new();
                for _ in 0x85..=code {
                    parts.insert(0, self.pop()?);
                }
                return self.push(Object::Sequence(parts));
            }
            b'}' => return self.push(Object::Dict(Vec::new())),
            b'a' => {
                let part = self.pop()?;
                self.append(&[part])?;
            }
            b'e' | 0x90 => {
                let parts = self.pop_to_mark()?;
                self.append(&parts)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let flat = self.pop_to_mark()?;
                self.set_items(&flat)?;
            }
            _ => return self.memo(code),
        }
        Ok(true)
    }

    fn memo(&mut self, code: u8) -> Result<bool, String> {
        let slot = match code {
            b'q' | b'h' => u8::from_le_bytes(self.fixed()?).into(),
            b'r' | b'j' => u32::from_le_bytes(self.fixed()?),
            0x94 => self.memo.len() as u32,
            _ => return Ok(false),
        };
        if matches!(code, b'h' | b'j') {
            let known = self.memo.get(&slot).copied();
            let known = known.ok_or("its pickle refers to a value that it does not have")?;
            self.stack.push(known);
        } else {
            let top = self.top()?;
            self.memo.insert(slot, top);
        }
        Ok(true)
    }

    fn call(&mut self, code: u8) -> Result<bool, String> {
        let made = match code {
            b'c' => {
                let module = self.line()?;
                Object::Global(module, self.line()?)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.get(module), self.get(name)) {
                    (Some(&Object::Text(module)), Some(&Object::Text(name))) => {
                        Object::Global(module, name)
                    }
                    _ => Object::Other,
                }
            }
            b'R' | 0x81 | 0x92 => {
                if code == 0x92 {
                    // Arguments given by name.
                    self.pop()?;
                }
                let (arguments, class) = (self.pop()?, self.pop()?);
                Object::Instance(Box::new(Instance {
                    class,
                    arguments,
                    items: Vec::new(),
                    state: None,
                }))
            }
            b'Q' => Object::Persistent(self.pop()?),
            b'b' => {
                let state = self.pop()?;
                if let Some(Object::Instance(instance)) = self.top_object()? {
                    instance.state = Some(state);
                }
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.push(made)
    }

    fn append(&mut self, parts: &[Id]) -> Result<(), String> {
        if let Some(Object::Sequence(list)) = self.top_object()? {
            list.extend(parts);
        }
        Ok(())
    }

    fn set_items(&mut self, flat: &[Id]) -> Result<(), String> {
        let (pairs, rest) = flat.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("its pickle has a key without a value".to_string());
        }
        let items = match self.top_object()? {
            Some(Object::Dict(items)) => items,
            Some(Object::Instance(instance)) => &mut instance.items,
            _ => return Ok(()),
        };
        items.extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn push(&mut self, object: Object<'a>) -> Result<bool, String> {
        self.stack.push(self.objects.len() as Id);
        self.objects.push(object);
        Ok(true)
    }

    fn get(&self, id: Id) -> Option<&Object<'a>> {
        self.objects.get(id as usize)
    }

    /// The values above the last mark are the only ones in reach.
    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn top(&self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let above = self.stack.get(floor..).and_then(<[Id]>::last);
        let top = above.ok_or("its pickle takes more values than it has")?;
        Ok(*top)
    }

    fn top_object(&mut self) -> Result<Option<&mut Object<'a>>, String> {
        let top = self.top()?;
        Ok(self.objects.get_mut(top as usize))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        let mark = mark.ok_or("its pickle ends a list that it did not begin")?;
        Ok(self.stack.split_off(mark))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..length).ok_or("its pickle ends too early")?;
        self.at += length;
        Ok(taken)
    }

    fn fixed<const WIDTH: usize>(&mut self) -> Result<[u8; WIDTH], String> {
        let taken = self.take(WIDTH)?;
        let taken = taken.first_chunk().copied();
        Ok(taken.ok_or("its pickle ends too early")?)
    }

    fn length32(&mut self) -> Result<usize, String> {
        let length = u32::from_le_bytes(self.fixed()?);
        usize::try_from(length).map_err(|_| "its pickle ends too early".to_string())
    }

    fn length64(&mut self) -> Result<usize, String> {
        let length = u64::from_le_bytes(self.fixed()?);
        usize::try_from(length).map_err(|_| "its pickle ends too early".to_string())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = self.take(end.ok_or("its pickle ends too early")?)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| "its pickle has a name that is not text".to_string())
    }
}
