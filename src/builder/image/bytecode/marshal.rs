//! Marshalled code objects in one form, whatever else the interpreter has done.
//!
//! Python marks an object that may be referred to later by the highest bit of its type, and numbers the marked ones.
//! Whether it marks one depends on its reference count, and so on the other modules that are loaded. Here only those
//! keep the mark that something refers to. Source: CPython's `Python/marshal.c`, `w_ref` and `r_object`, 3.8 to 3.14
//! (versions 4 and 5 of the format), and "PEP 552 – Deterministic pycs".

/// The bit of a type that says that the object has a number.
const MARK: u8 = 0x80;
/// From this minor version on, a frozen set is written in the order of its marshalled elements (CPython issue 81777).
const SORTED_SETS: u8 = 11;
/// From this minor version on, a code object has one list of local names, a qualified name, and a table of exceptions.
const NEW_CODE: u8 = 11;

/// What comes next.
enum Item {
    Objects(u64),
    Bytes(u64),
    /// The end of a frozen set.
    SetEnd,
}

/// Bring the marshalled code of Python 3.`minor` into one form. `None` if it cannot be: it has an unknown form, or its
/// bytes depend on addresses in memory.
pub fn canonical(mut data: Vec<u8>, minor: u8) -> Option<Vec<u8>> {
    let mut walk = Walk { data: &data, at: 0, minor, todo: vec![Item::Objects(1)], ..Walk::default() };
    walk.run()?;
    let Walk { marked, references, .. } = walk;
    let mut is_used = vec![false; marked.len()];
    for (_, number) in &references {
        *is_used.get_mut(*number)? = true;
    }
    let mut numbers = vec![0_u32; marked.len()];
    let mut next = 0;
    for (number, at) in marked.into_iter().enumerate() {
        numbers[number] = next;
        match is_used[number] {
            true => next += 1,
            false => data[at] &= !MARK,
        }
    }
    for (at, number) in references {
        data.get_mut(at..at + 4)?.copy_from_slice(&numbers[number].to_le_bytes());
    }
    Some(data)
}

#[derive(Default)]
struct Walk<'a> {
    data: &'a [u8],
    at: usize,
    minor: u8,
    /// In reverse order.
    todo: Vec<Item>,
    open_sets: usize,
    /// Where the type of each numbered object is.
    marked: Vec<usize>,
    /// Where a number is, and the number.
    references: Vec<(usize, usize)>,
}

impl Walk<'_> {
    fn run(&mut self) -> Option<()> {
        while let Some(item) = self.todo.pop() {
            match item {
                Item::Objects(0) => {}
                Item::Objects(count) => {
                    self.todo.push(Item::Objects(count - 1));
                    self.object()?;
                }
                Item::Bytes(count) => self.skip(count)?,
                Item::SetEnd => self.open_sets -= 1,
            }
        }
        (self.at == self.data.len()).then_some(())
    }

    fn object(&mut self) -> Option<()> {
        let kind = self.byte()?;
        if kind & MARK != 0 {
            self.marked.push(self.at - 1);
        }
        match kind & !MARK {
            // The hash of these is an address, and decides their place in a set.
            b'N' | b'.' if self.open_sets > 0 && self.minor < SORTED_SETS => return None,
            b'N' | b'.' | b'T' | b'F' | b'S' => {}
            b'i' => self.skip(4)?,
            b'g' => self.skip(8)?,
            b'y' => self.skip(16)?,
            b'l' => {
                let digits = u64::from((self.number()? as i32).unsigned_abs());
                self.skip(2 * digits)?;
            }
            // Bytes, and strings: Unicode, interned, ASCII, interned ASCII.
            b's' | b'u' | b't' | b'a' | b'A' => {
                let length = self.number()?;
                self.skip(length.into())?;
            }
            b'z' | b'Z' => {
                let length = self.byte()?;
                self.skip(length.into())?;
            }
            b')' => {
                let count = self.byte()?;
                self.todo.push(Item::Objects(count.into()));
            }
            b'(' => {
                let count = self.number()?;
                self.todo.push(Item::Objects(count.into()));
            }
            b'>' => {
                let count = self.number()?;
                self.open_sets += 1;
                self.todo.extend([Item::SetEnd, Item::Objects(count.into())]);
            }
            // Slices are constants since 3.14.
            b':' => self.todo.push(Item::Objects(3)),
            b'c' => self.code(),
            b'r' => {
                let at = self.at;
                let number = self.number()?;
                self.references.push((at, number as usize));
            }
            _ => return None,
        }
        Some(())
    }

    /// The members of a code object: counts and flags, objects, the first line, objects.
    fn code(&mut self) {
        let (counts, before, after) = if self.minor >= NEW_CODE { (5, 8, 2) } else { (6, 8, 1) };
        self.todo.extend([
            Item::Objects(after),
            Item::Bytes(4),
            Item::Objects(before),
            Item::Bytes(4 * counts),
        ]);
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.data.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.data.get(self.at..)?.first_chunk()?;
        self.at += 4;
        Some(u32::from_le_bytes(*bytes))
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.at = self.at.checked_add(usize::try_from(count).ok()?)?;
        (self.at <= self.data.len()).then_some(())
    }
}
