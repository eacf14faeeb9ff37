//! What most sessions whose connections sleep have in common, kept once.

use super::latest::Latest;
use super::vigil::Terms;

/// What most sessions whose connections sleep have in common.
#[derive(Debug, Default)]
pub(crate) struct InCommon {
    pub(super) terms: Latest<Terms>,
    pub(super) final_bytes: Latest<Vec<u8>>,
}
