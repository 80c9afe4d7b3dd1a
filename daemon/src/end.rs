//! How a command ends, other than well.

/// How a command ended, other than well.
pub(crate) enum End {
    /// The answer is no, or the input was damaged: exit 1.
    No(String),
    /// Bad configuration: exit 78 (EX_CONFIG), which units do not restart.
    BadConfiguration(String),
}

impl End {
    /// For any error that is an answer.
    pub(crate) fn no(error: impl std::fmt::Display) -> Self {
        Self::No(error.to_string())
    }

    /// For any error of configuration.
    pub(crate) fn bad_configuration(error: impl std::fmt::Display) -> Self {
        Self::BadConfiguration(error.to_string())
    }
}
