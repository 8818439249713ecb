//! The mechanisms that a bench may switch off to see what they are for.

/// Makes the enum and the list of all of it out of one list.
macro_rules! mechanisms {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A mechanism that can be switched off.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mechanism {
            $($(#[$doc])+ $name,)+
        }

        impl Mechanism {
            /// All of them, in the order of the module's page.
            pub const ALL: [Self; [$(stringify!($name)),+].len()] = [$(Self::$name),+];
        }
    };
}

mechanisms! {
    /// The queue budget follows the queue; without it, the target's worth stands in the queue for ever.
    QueueBudget,
    /// Slow flows aim at a longer queue.
    ScaledTarget,
    /// The mean of the last rounds is the bandwidth of a full path; without it, always the best of eight.
    Share,
    /// What a flight took to arrive opens the window in start-up.
    Dispersion,
    /// Start-up grows several times as fast while the spacing of ACKs says that there is room.
    Leap,
    /// The spacing of ACKs is known at all: capacity, sharing, jitter and leaps follow from it.
    Trains,
    /// The first flight leaves in a fifth of the round trip.
    FirstPace,
    /// A queue ends start-up; without it, only bandwidth that stops growing does.
    StartupQueue,
    /// A part of what the flight that found the queue showed is the bandwidth after start-up.
    FlightShare,
    /// What an earlier connection, or this one before an outage, has learnt.
    CarefulResume,
    /// Pauses of the path are no queue.
    AckAggregation,
    /// Jitter is no queue.
    Jitter,
    /// Sends more for two rounds to find room.
    Probe,
    /// Sends less for a moment to see whether a loss is our own doing.
    Trial,
    /// Holds at what a policer lets through.
    Policer,
    /// Room for what the path always loses.
    Headroom,
    /// More room for it in small windows.
    Unmissed,
    /// A drain shows what the path loses by itself.
    DrainLoss,
    /// Congestion marks shorten the queue.
    Marks,
    /// More than a quarter lost is never the path's doing.
    Flood,
    /// Whole rounds tell the bare round trip; without it, the shortest sample of all does.
    WholeRounds,
    /// Three drains that agree make the bare round trip longer.
    LongerPath,
    /// Looks for the bare round trip while cruising.
    Drains,
    /// Deep drains among others.
    DeepDrains,
    /// Drains by the clock on the wall.
    ProbeRttSchedule,
    /// Drains sooner after each other when competitive mode has begun.
    Unrest,
    /// Suspects others when the queue does not obey.
    Competitors,
    /// Cuts the window at three targets.
    Cut,
    /// After a suspicion, less is enough for the next one.
    LowerThreshold,
    /// Takes what CUBIC would while others hold the queue.
    CompetitiveMode,
    /// Competitive mode begins with a search.
    Search,
}

impl Mechanism {
    /// Its name on a command line: `scaled-target`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }
}

/// The mechanisms that are switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Without(u32);

impl Without {
    /// All but this one.
    pub fn only(mechanism: Mechanism) -> Self {
        Self::default().and(mechanism)
    }

    /// Switches off one more.
    pub fn and(self, mechanism: Mechanism) -> Self {
        Self(self.0 | 1 << mechanism as u32)
    }

    pub(super) fn has(self, mechanism: Mechanism) -> bool {
        self.0 & (1 << mechanism as u32) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_switched_off_unless_told() {
        assert!(Mechanism::ALL.iter().all(|&mechanism| !Without::default().has(mechanism)));
    }

    #[test]
    fn each_mechanism_has_its_own_switch_and_name() {
        for mechanism in Mechanism::ALL {
            let off = Mechanism::ALL.into_iter().filter(|&other| Without::only(mechanism).has(other));
            assert_eq!(off.collect::<Vec<_>>(), [mechanism]);
        }
        let mut names = Mechanism::ALL.map(Mechanism::name).to_vec();
        assert!(names.contains(&"scaled-target".to_owned()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Mechanism::ALL.len());
    }
}
