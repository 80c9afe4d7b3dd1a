//! The seal.

/// Something that has passed the gate. Only this crate can make one.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed<T>(T);

impl<T> Sealed<T> {
    pub(crate) const fn new(content: T) -> Self {
        Self(content)
    }

    /// What was sealed.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// What was sealed, by value.
    pub fn into_inner(self) -> T {
        self.0
    }
}
