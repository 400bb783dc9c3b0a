//! Random markets and random wishes, from numbers that proptest can shrink.

use domain::{
    ActionKind, Bar, Bracket, CorporateAction, Decisions, InstrumentId, OrderKind, OrderRequest, Price, Quantity,
    Ratio, StopLoss, Strategy, TimeInForce, Trail, View,
};
use proptest::prelude::{any, prop};
use proptest::strategy::Strategy as Generator;
use simulator::Market;

use super::{day, market};

/// One instrument's session: steps in cents, and volume.
type Step = (i16, u8, u8, i16, u16);

/// A market of several instruments with actions.
pub fn markets() -> impl Generator<Value = Market> {
    (1_usize..4, 3_usize..40).prop_flat_map(|(instruments, sessions)| {
        let step = (-60_i16..60, 0_u8..50, 0_u8..50, -60_i16..60, 0_u16..2_000);
        let bars = prop::collection::vec(prop::collection::vec(step, instruments), sessions);
        let actions = prop::collection::vec((0..instruments, 0..sessions, 0_u8..4, 1_u8..200), 0..4);
        (bars, actions).prop_map(|(bars, actions)| build(&bars, &actions))
    })
}

fn cents(value: i64) -> Price {
    Price::from_units(value.max(1) * 10_000_000)
}

fn build(sessions: &[Vec<Step>], actions: &[(usize, usize, u8, u8)]) -> Market {
    let instruments = sessions[0].len();
    let mut last = vec![5_000_i64; instruments];
    let mut gone = vec![usize::MAX; instruments];
    let mut found = Vec::new();
    for (instrument, at, kind, size) in actions {
        // The first session has every instrument.
        let at = (*at).max(1);
        let kind = match kind {
            0 => ActionKind::Split { ratio: Ratio::new(2, 1).unwrap() },
            1 => ActionKind::Split { ratio: Ratio::new(1, 2).unwrap() },
            2 => ActionKind::Dividend { amount: cents(i64::from(*size)) },
            _ => {
                gone[*instrument] = gone[*instrument].min(at);
                ActionKind::Delisting { price: cents(i64::from(*size) * 20) }
            }
        };
        found.push(CorporateAction { instrument: InstrumentId(*instrument as u32), ex_date: day(at), kind });
    }
    let mut bars = Vec::new();
    for (n, steps) in sessions.iter().enumerate() {
        for (at, (gap, up, down, change, volume)) in steps.iter().enumerate() {
            let open = (last[at] + i64::from(*gap)).max(50);
            let close = (open + i64::from(*change)).max(50);
            last[at] = close;
            // Now and then an instrument does not trade, and never after it is gone.
            if n >= gone[at] || n > 0 && *volume < 40 {
                continue;
            }
            bars.push(Bar {
                instrument: InstrumentId(at as u32),
                session: day(n),
                open: cents(open),
                high: cents(open.max(close) + i64::from(*up)),
                low: cents((open.min(close) - i64::from(*down)).max(10)),
                close: cents(close),
                volume: u64::from(*volume),
            });
        }
    }
    market(bars, found)
}

/// A wish, as numbers.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub kind: u8,
    pub quantity: i16,
    pub first: i16,
    pub second: i16,
    pub extra: u8,
}

pub fn wishes() -> impl Generator<Value = Vec<Wish>> {
    let wish = (0_u8..11, -300_i16..300, -150_i16..150, -150_i16..150, any::<u8>())
        .prop_map(|(kind, quantity, first, second, extra)| Wish { kind, quantity, first, second, extra });
    prop::collection::vec(wish, 1..60)
}

/// Works through a list of wishes, a few for each bar, forgetting how they end.
#[derive(Debug, Clone)]
pub struct Chaos {
    wishes: Vec<Wish>,
    next: usize,
}

impl Chaos {
    pub fn new(wishes: Vec<Wish>) -> Self {
        Self { wishes, next: 0 }
    }
}

impl Strategy for Chaos {
    fn on_bar(&mut self, bar: &Bar, _view: &View<'_>, decisions: &mut Decisions) {
        for _ in 0..=self.wishes[self.next % self.wishes.len()].extra % 3 {
            let wish = self.wishes[self.next % self.wishes.len()];
            self.next += 1;
            wish.make(bar, decisions);
        }
    }

    fn on_split(&mut self, _instrument: InstrumentId, _ratio: Ratio) {}
}

impl Wish {
    fn make(self, bar: &Bar, decisions: &mut Decisions) {
        let near = |cents: i16| Price::from_units(bar.close.units() + i64::from(cents) * 10_000_000);
        let quantity = Quantity::whole(i64::from(self.quantity)).unwrap();
        let trail = Trail::Amount(Price::from_units(i64::from(self.first.abs()) * 10_000_000));
        let kind = match self.kind {
            0 => return decisions.target(bar.instrument, quantity),
            1 => return decisions.cancel_all(bar.instrument),
            2 => OrderKind::Market,
            3 => OrderKind::MarketOnOpen,
            4 => OrderKind::MarketOnClose,
            5 | 6 => OrderKind::Limit { limit: near(self.first) },
            7 => OrderKind::Stop { stop: near(self.first) },
            8 => OrderKind::StopLimit { stop: near(self.first), limit: near(self.second) },
            9 => OrderKind::TrailingStop { trail },
            _ => OrderKind::TrailingStop { trail: Trail::BasisPoints(u32::from(self.extra) + 1) },
        };
        let bit = |n: u8| self.extra >> n & 1 == 1;
        let exits = Bracket {
            take_profit: bit(4).then(|| near(self.second)),
            stop_loss: bit(5)
                .then(|| if bit(6) { StopLoss::Trailing(trail) } else { StopLoss::At(near(-self.second)) }),
        };
        decisions.orders.push(OrderRequest {
            time_in_force: if bit(2) { TimeInForce::Day } else { TimeInForce::GoodTillCancelled },
            one_cancels_other: bit(3).then_some(1),
            bracket: bit(7).then_some(exits),
            reduce_only: self.extra % 16 == 5,
            ..OrderRequest::new(bar.instrument, quantity, kind)
        });
    }
}
