//! What a credential is good for at most.

use super::Question;
use crate::call::Refusal;
use crate::policy::refusing;

/// What the credential is not good for, whatever policies permit whoever holds it. A resource outside
/// looks like one that does not exist.
pub(super) fn outside(question: &Question<'_>) -> Option<Refusal> {
    let scope = question.asking.scope;
    if let Some(resource) = question.resource.filter(|name| !scope.has_resource(name)) {
        return Some(Refusal::unknown_resource(resource));
    }
    (!scope.has_tool(question.asking.tool)).then(|| refusing::out_of_scope(question.asking.tool))
}
