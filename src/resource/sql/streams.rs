//! Rows as they come from the driver, without what watches us.

use futures::StreamExt;
use futures::stream::{self, BoxStream, Stream};
use tracing::dispatcher::{Dispatch, with_default};

/// Rows that the driver gives. It enters the span that its own streams were made in, two of them, anew for every row,
/// which costs more than the rest of what is done for a row; so they are made where there is none. The second of them
/// is made on the way to the first row.
pub(super) fn unwatched<'s, T: 's>(
    rows: impl FnOnce() -> BoxStream<'s, T>,
) -> impl Stream<Item = T> + Unpin + Send + 's {
    let nobody = Dispatch::none();
    let mut rows = with_default(&nobody, rows);
    let mut begun = false;
    stream::poll_fn(move |context| {
        if begun {
            return rows.poll_next_unpin(context);
        }
        let first = with_default(&nobody, || rows.poll_next_unpin(context));
        begun = first.is_ready();
        first
    })
}
