//! Images: what is in them, and the programs that read them.

mod bytecode;
