//! When and how often an agent pays, drawn from a seed.

use super::ops::Dice;
use crate::reference::Measure;

/// Some of the day, near the hours at which clocks change more often than not.
pub(super) fn open_hours(dice: &mut Dice) -> Vec<(i64, i64)> {
    let many = 1 + dice.below(2);
    let ranges = (0..many).map(|_| {
        let from = dice.pick(&[0, 0, 1, 60, 90, 120, 150, 540, 1_200, 1_380]);
        let long = dice.pick(&[15, 30, 90, 240, 600, 1_200]);
        (from, if from == 0 { long } else { (from + long) % 1_440 })
    });
    ranges.filter(|(from, to)| from != to).collect()
}

pub(super) fn open_days(dice: &mut Dice) -> Vec<i64> {
    (0..7).filter(|day| *day == 4 || !dice.one_in(3)).collect()
}

/// What is done about too many; freezes end what a history has to show.
pub(super) const DONE: [Measure; 5] =
    [Measure::Flag, Measure::Flag, Measure::Throttle, Measure::Throttle, Measure::Freeze];

/// So many in so many seconds.
pub(super) fn pace(dice: &mut Dice, low: i64, high: i64) -> (i64, i64) {
    (dice.between(low, high), dice.pick(&[1, 10, 60, 61, 3_600, 7_200, 86_400]))
}
