//! Internal credit: the operator owes the payee, and the record is where that stands.

use futures_util::future::{BoxFuture, ready};

use super::{Dispatch, Order, Rail, Reply, Verdict};
use crate::policy::{mandate::Service, names::RailName};

/// The rail of every service that names none.
#[derive(Clone, Copy, Debug)]
pub struct Iou;

impl Rail for Iou {
    fn name(&self) -> RailName {
        RailName::iou()
    }

    fn dispatch(&self, _: &Service) -> Dispatch {
        Dispatch::Recorded
    }

    fn only_records(&self) -> bool {
        true
    }

    fn pay<'a>(&'a self, order: &'a Order, _: Reply) -> BoxFuture<'a, Verdict> {
        Box::pin(ready(Verdict::Captured(order.amount)))
    }
}
