//! How much of a card's memory leases may book: `utilization-limit.cuda-memory`, `remain-limit.cuda-memory`.

use fedflow_core::{Config, Size};

/// What leases may book of a card with so much memory that keeps none for itself, what other people use there
/// included.
#[must_use]
pub fn leasable_memory(total: Size, config: &Config) -> Size {
    of(total, Size::ZERO, config)
}

/// What leases may book of a card, what other people use there included.
pub(super) fn of(total: Size, reserved: Size, config: &Config) -> Size {
    let by_fraction = total.scaled(config.utilization_limit.cuda_memory);
    let by_rest = total.saturating_sub(config.remain_limit.cuda_memory_of(total));
    by_fraction.min(by_rest).min(total.saturating_sub(reserved))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_holds() {
        let gb = Size::from_gb;
        let mut config = Config::default();
        assert_eq!(of(gb(20), Size::ZERO, &config), gb(16));
        config.utilization_limit.cuda_memory = 0.95;
        assert_eq!(of(gb(20), Size::ZERO, &config), gb(18), "2 GB stay free by default");
        config.remain_limit.cuda_memory = Some(gb(5));
        assert_eq!(of(gb(20), Size::ZERO, &config), gb(15));
        config.utilization_limit.cuda_memory = 1.0;
        config.remain_limit.cuda_memory = Some(Size::ZERO);
        assert_eq!(of(gb(20), gb(1), &config), gb(19));
        config.remain_limit.cuda_memory = Some(gb(30));
        assert_eq!(of(gb(20), Size::ZERO, &config), Size::ZERO);
    }
}
