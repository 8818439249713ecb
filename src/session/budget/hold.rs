//! A share of a budget, which is given back when it is dropped.

use std::sync::atomic::Ordering;

use super::{Account, Resource, WINDOWS_BYTES};
use crate::transfer::Room;

/// A connection that receives.
#[derive(Debug)]
pub(crate) struct Receiving(pub(super) Account);

impl Receiving {
    /// The window that such a connection aims at now.
    pub(crate) fn share(&self) -> usize {
        self.share_of(WINDOWS_BYTES)
    }

    /// Its part of what all connections that receive aim at together.
    pub(crate) fn share_of(&self, bytes: usize) -> usize {
        bytes / self.0.0.budget.0.receivers.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.0.budget.0.receivers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An amount that was taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(super) account: Account,
    pub(super) resource: Resource,
    pub(super) amount: usize,
}

impl Hold {
    /// How much it is.
    pub(crate) fn amount(&self) -> usize {
        self.amount
    }

    /// Takes more, if the connection's share allows it.
    pub(crate) fn grow(&mut self, more: usize) -> bool {
        let takes = self.account.takes(self.resource, more);
        self.amount += if takes { more } else { 0 };
        takes
    }

    /// Takes as much more as it takes to have so much, likewise.
    pub(crate) fn grow_to(&mut self, amount: usize) -> bool {
        amount <= self.amount || self.grow(amount - self.amount)
    }

    /// Gives back all but so much.
    pub(crate) fn shrink_to(&mut self, kept: usize) {
        self.shrink(self.amount.saturating_sub(kept));
    }

    /// Gives a part back.
    pub(crate) fn shrink(&mut self, less: usize) {
        let less = less.min(self.amount);
        self.amount -= less;
        self.account.give_back(self.resource, less);
    }

    /// A part of it that is given back by itself.
    pub(crate) fn split(&mut self, part: usize) -> Self {
        let part = part.min(self.amount);
        self.amount -= part;
        Self { account: self.account.clone(), resource: self.resource, amount: part }
    }
}

impl Room for Hold {
    fn grow(&mut self, amount: usize) -> bool {
        Self::grow(self, amount)
    }

    fn shrink_to(&mut self, amount: usize) {
        Self::shrink_to(self, amount);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.account.give_back(self.resource, self.amount);
    }
}
