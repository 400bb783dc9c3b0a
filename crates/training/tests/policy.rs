//! A policy learns what there is to earn, and stays out where there is nothing.
#![allow(clippy::unwrap_used)]

use domain::{Bar, Calendar, InstrumentId, Money, Price, Quantity};
use engine::Limits;
use models::FeatureSet;
use models::policy::{SIDES, Side};
use simulator::{Costs, Market};
use strategies::{Choice, Chooser, Moment, PolicyRule};
use training::policy::environment::{Act, Course, Environment, Episode, Recorder, Rules};
use training::policy::ppo::Objective;
use training::policy::recurrent::Trace;
use training::policy::{Job, Settings};
use training::random::Random;

fn rules(bps: f64) -> Rules {
    Rules {
        features: FeatureSet::default(),
        cash: Money::from_units(1_000_000 * Money::UNITS),
        costs: Costs { commission_bps: bps, borrow_bps: 50.0, ..Costs::default() },
        limits: Limits::default(),
        size: Quantity::from_units(100 * Quantity::UNITS),
        steps: 64,
        drawdown_penalty: 0.1,
    }
}

fn settings(iterations: usize, seed: u64) -> Settings {
    Settings {
        units: 16,
        iterations,
        episodes: 32,
        passes: 4,
        batch: 8,
        learning_rate: 1e-3,
        discount: 0.9,
        lambda: 0.95,
        objective: Objective { clip: 0.2, value_clip: 0.2, value_weight: 0.5, entropy_weight: 0.005 },
        gradient_max: 0.5,
        seed,
    }
}

/// Bars of one symbol over the calendar's last sessions; each return is the drift of the day and noise.
fn course(count: usize, seed: u64, mut drift: impl FnMut(&mut Random) -> f64, noise: f64) -> Course {
    let mut random = Random::new(seed, 77);
    let sessions = Calendar::nyse().sessions();
    let mut price = 100.0_f64;
    let bars = sessions[sessions.len() - count..].iter().map(|session| {
        let open = price;
        let change = drift(&mut random) + noise * random.normal();
        price = (price * (1.0 + change.clamp(-0.2, 0.2))).clamp(1.0, 5_000.0);
        let at = |value: f64| Price::from_f64(value).unwrap();
        Bar {
            instrument: InstrumentId(0),
            session: session.date,
            open: at(open),
            high: at(open.max(price)),
            low: at(open.min(price)),
            close: at(price),
            volume: 1_000_000,
        }
    });
    Course { bars: bars.collect(), ..Course::default() }
}

/// A drift that turns around now and then: whoever follows the last days earns.
fn trending(seed: u64, count: usize) -> Course {
    let mut sign = 1.0;
    let drift = move |random: &mut Random| {
        if random.unit() < 0.03 {
            sign = -sign;
        }
        sign * 0.006
    };
    course(count, seed, drift, 0.006)
}

/// Profit of somebody over a whole course, in full positions, and the share of sessions in the market.
fn profit<C: Chooser>(course: &Course, rules: &Rules, chooser: C) -> (f64, f64) {
    let market = Market::new(Calendar::nyse(), course.bars.clone(), vec![], vec![]).unwrap();
    let watched = Watched { chooser, last: None, profit: 0.0, inside: 0.0, size: rules.size.to_f64() };
    let rule = PolicyRule::new(watched, rules.features, rules.size, 1);
    let mut engine = engine::Engine::new(rule, rules.cash, 1, rules.limits.clone());
    let mut venue = simulator::Venue::new(rules.costs, 1);
    simulator::run(Calendar::nyse(), &market, &mut engine, &mut venue, &mut ()).unwrap();
    let watched = engine.strategy().chooser();
    (watched.profit, watched.inside / market.bars().len() as f64)
}

struct Watched<C> {
    chooser: C,
    last: Option<(f64, f64)>,
    profit: f64,
    inside: f64,
    size: f64,
}

impl<C: Chooser> Chooser for Watched<C> {
    fn choose(&mut self, moment: &Moment<'_>) -> Choice {
        let equity = moment.view.equity().unwrap().to_f64();
        if let Some((before, full)) = self.last {
            self.profit += (equity - before) / full;
        }
        self.last = Some((equity, self.size * moment.bar.close.to_f64()));
        self.inside += f64::from(u8::from(moment.held != Side::Flat));
        self.chooser.choose(moment)
    }
}

/// Follows the sign of the last four days' return, unless it is small.
struct Trend;

impl Chooser for Trend {
    fn choose(&mut self, moment: &Moment<'_>) -> Choice {
        // The rates of change follow the sixteen levels, from two sessions on.
        let change = moment.row[16 + 2];
        let side = match change {
            _ if change > 0.01 => Side::Long,
            _ if change < -0.01 => Side::Short,
            _ => moment.held,
        };
        Choice { side, signal: 0.0 }
    }
}

/// The likeliest side of a network under training.
struct Greedy<'a> {
    job: &'a Job,
    trace: Trace<f32>,
}

impl<'a> Greedy<'a> {
    fn new(job: &'a Job) -> Self {
        let mut trace = Trace::default();
        job.network().0.start(&mut trace);
        Self { job, trace }
    }
}

impl Chooser for Greedy<'_> {
    fn choose(&mut self, moment: &Moment<'_>) -> Choice {
        let mut observation = [0.0; models::policy::OBSERVATION];
        self.job.environment().scaler().observe(moment.row, moment.held, &mut observation);
        let (network, numbers) = self.job.network();
        network.forward(numbers, &observation, &mut self.trace);
        let logits = &self.trace.out(self.trace.steps() - 1)[..3];
        let best = (0..3).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        Choice { side: SIDES[best], signal: 0.0 }
    }
}

fn trained(courses: Vec<Course>, bps: f64, seed: u64) -> Job {
    let mut job = Job::new(Environment::new(rules(bps), courses).unwrap(), settings(100, seed));
    while !job.is_done() {
        job.round().unwrap();
    }
    job
}

#[test]
fn it_earns_most_of_what_a_known_rule_earns() {
    let fresh = trending(99, 3_000);
    let (rule, _) = profit(&fresh, &rules(5.0), Trend);
    assert!(rule > 2.0, "the rule must earn: {rule}");
    for seed in 1..3 {
        let job = trained((0..4).map(|course| trending(10 * seed + course, 2_000)).collect(), 5.0, seed);
        let (policy, _) = profit(&fresh, &rules(5.0), Greedy::new(&job));
        assert!(policy >= 0.8 * rule, "seed {seed}: the policy earned {policy}, the rule {rule}");
    }
}

#[test]
fn it_stays_flat_on_a_martingale_with_costs() {
    let martingale = |seed, count| course(count, seed, |_| 0.0, 0.01);
    for seed in 1..3 {
        let job = trained((0..4).map(|course| martingale(10 * seed + course, 2_000)).collect(), 5.0, seed);
        let (profit, inside) = profit(&martingale(99, 3_000), &rules(5.0), Greedy::new(&job));
        assert!(inside < 0.02, "seed {seed}: {inside} of the time in the market, for {profit}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_alone_in_parallel_and_after_an_interruption() {
    let courses = || vec![trending(1, 400), trending(2, 300)];
    let run = |stops: &[usize]| {
        let environment = || Environment::new(rules(5.0), courses()).unwrap();
        let mut job = Job::new(environment(), settings(5, 7));
        while !job.is_done() {
            job.round().unwrap();
            if stops.contains(&job.history().len()) {
                let checkpoint = job.checkpoint().unwrap();
                job = Job::new(environment(), settings(5, 7)).resume(&checkpoint).unwrap();
            }
        }
        job.checkpoint().unwrap()
    };
    let alone = run(&[]);
    assert_eq!(run(&[1, 4]), alone);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| run(&[2]))).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), alone);
        }
    });
    let other = Job::new(Environment::new(rules(5.0), courses()).unwrap(), Settings { units: 8, ..settings(5, 7) });
    assert!(other.clone().resume(&alone).is_err() && other.resume(b"{}").is_err());
}

/// Does what it is told, in turn.
struct Told {
    actions: Vec<usize>,
    seen: Vec<Vec<f32>>,
}

impl Act for &mut Told {
    fn act(&mut self, observation: &[f32]) -> (usize, f32, f32) {
        let action = self.actions[self.seen.len() % self.actions.len()];
        self.seen.push(observation.to_vec());
        (action, 0.0, 0.0)
    }
}

fn episode(environment: &Environment, number: usize, actions: &[usize]) -> (Episode, Vec<Vec<f32>>) {
    let mut told = Told { actions: actions.to_vec(), seen: Vec::new() };
    let mut recorder = Recorder::new(environment, &mut told);
    environment.trade(&environment.market(number).unwrap(), &mut recorder).unwrap();
    let episode = recorder.episode;
    (episode, told.seen)
}

#[test]
fn rewards_are_what_the_account_gained_after_costs() {
    let course = trending(5, 300);
    let rules = Rules { drawdown_penalty: 0.0, ..rules(5.0) };
    let environment = Environment::new(rules, vec![course.clone()]).unwrap();
    assert_eq!(environment.episodes(), 300 - 17 - 64 + 1);
    let (always, seen) = episode(&environment, 40, &[2]);
    assert_eq!((always.actions.len(), always.rewards.len(), always.values.len()), (64, 64, 65));
    assert_eq!((always.turns, seen[0][31], seen[1][31]), (1, 0.0, 1.0));
    let bars = &course.bars[40 + 16..];
    let price = |at: usize| (bars[at].open.to_f64(), bars[at].close.to_f64());
    // Bought at the open after the first close, for a commission.
    let (open, close) = price(1);
    let first = 100.0 * (close - open * 1.000_5) / price(0).1;
    assert!((f64::from(always.rewards[0]) - first).abs() < 1e-3, "{} {first}", always.rewards[0]);
    let second = 100.0 * (price(2).1 - price(1).1) / price(1).1;
    assert!((f64::from(always.rewards[1]) - second).abs() < 1e-3);
    let (never, _) = episode(&environment, 40, &[1]);
    assert_eq!(never.rewards, vec![0.0; 64]);
    let (turning, _) = episode(&environment, 40, &[2, 0]);
    assert_eq!(turning.turns, 64);
    let sum = |episode: &Episode| episode.rewards.iter().sum::<f32>();
    assert!(sum(&turning) < -4.0, "64 turns of two sides at 5 bps each: {}", sum(&turning));
}

#[test]
fn a_penalty_takes_off_what_the_deepest_drawdown_deepened() {
    let course = trending(5, 300);
    let of = |penalty| {
        let rules = Rules { drawdown_penalty: penalty, ..rules(0.0) };
        episode(&Environment::new(rules, vec![course.clone()]).unwrap(), 3, &[2]).0.rewards
    };
    let (plain, punished) = (of(0.0), of(2.0));
    let (mut equity, mut peak, mut deepest) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (at, (plain, punished)) in plain.iter().zip(&punished).enumerate() {
        let full = course.bars[3 + 16 + at].close.to_f64();
        equity += f64::from(*plain) * full;
        peak = peak.max(equity);
        let wanted = f64::from(*plain) * full - 2.0 * (peak - equity - deepest).max(0.0);
        deepest = deepest.max(peak - equity);
        assert!((wanted / full - f64::from(*punished)).abs() < 1e-3, "decision {at}: {wanted} {punished}");
    }
    assert!(punished.iter().sum::<f32>() < plain.iter().sum::<f32>());
}

#[test]
fn limits_hold_in_an_episode_too() {
    let rules = Rules {
        limits: Limits { position_quantity_max: Some(Quantity::from_units(50 * Quantity::UNITS)), ..Limits::default() },
        ..rules(0.0)
    };
    let environment = Environment::new(rules, vec![trending(5, 300)]).unwrap();
    let (episode, seen) = episode(&environment, 0, &[2]);
    assert_eq!(episode.rewards, vec![0.0; 64], "every order was refused");
    assert!(seen.iter().all(|row| row[31] == 0.0), "and the policy sees that it holds nothing");
}

#[test]
fn a_past_too_short_for_an_episode_is_no_environment() {
    assert!(Environment::new(rules(0.0), vec![trending(1, 80)]).is_none());
    let environment = Environment::new(rules(0.0), vec![trending(1, 80), trending(2, 81), trending(3, 82)]).unwrap();
    assert_eq!(environment.episodes(), 3);
    let first = |episode: usize| environment.market(episode).unwrap().bars()[0];
    assert_eq!(
        [first(0), first(1), first(2)],
        [trending(2, 81).bars[0], trending(3, 82).bars[0], trending(3, 82).bars[1]]
    );
}
