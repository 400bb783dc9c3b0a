//! PPO's rounds: episodes in the engine, then passes over them.
//!
//! `policy_bench` prints one JSON line. `policy_bench serve` lends the same environment to a program that learns by
//! itself: for each round it writes the observations of every episode (32-bit floats, little-endian) and reads as many
//! actions (a byte each), once for each decision and once for the state after the last one, then writes the rewards,
//! episode by episode. A round begins with a byte.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use anyhow::{Context, Result};
use domain::{Bar, Calendar, InstrumentId, Money, Price, Quantity};
use models::policy::OBSERVATION;
use simulator::Costs;
use training::policy::environment::{Act, Course, Environment, Recorder, Rules};
use training::policy::ppo::Objective;
use training::policy::recurrent::Trace;
use training::policy::{Job, Settings};
use training::random::Random;

const EPISODES: usize = 8;
const STEPS: usize = 128;
const ROUNDS: usize = 20;

fn environment() -> Result<Environment> {
    let course = |seed: u64| {
        let mut random = Random::new(seed, 0);
        let mut price = 100.0_f64;
        let sessions = Calendar::nyse().sessions();
        let bars = sessions[sessions.len() - 2_000..].iter().map(|session| {
            let open = price;
            price *= 1.0 + 0.01 * random.normal();
            let at = |value: f64| Price::from_f64(value).context("a price");
            let (high, low) = (open.max(price), open.min(price));
            Ok(Bar {
                instrument: InstrumentId(0),
                session: session.date,
                open: at(open)?,
                high: at(high)?,
                low: at(low)?,
                close: at(price)?,
                volume: 1_000_000,
            })
        });
        Ok(Course { bars: bars.collect::<Result<_>>()?, ..Course::default() })
    };
    let rules = Rules {
        features: Default::default(),
        cash: Money::from_units(1_000_000 * Money::UNITS),
        costs: Costs { commission_bps: 5.0, borrow_bps: 50.0, ..Costs::default() },
        limits: Default::default(),
        size: Quantity::from_units(100 * Quantity::UNITS),
        steps: STEPS,
        drawdown_penalty: 0.1,
    };
    let courses = (0..4).map(course).collect::<Result<Vec<Course>>>()?;
    Environment::new(rules, courses).context("the courses are long enough")
}

fn bench() -> Result<()> {
    let settings = Settings {
        units: 64,
        iterations: ROUNDS,
        episodes: EPISODES,
        passes: 4,
        batch: 2,
        learning_rate: 1e-3,
        discount: 0.9,
        lambda: 0.95,
        objective: Objective { clip: 0.2, value_clip: 0.2, value_weight: 0.5, entropy_weight: 0.005 },
        gradient_max: 0.5,
        seed: 1,
    };
    let mut seconds = f64::INFINITY;
    let mut last = None;
    let mut episodes = f64::INFINITY;
    for _ in 0..3 {
        let mut job = Job::new(environment()?, settings.clone());
        let start = Instant::now();
        while !job.is_done() {
            last = Some(job.round()?);
        }
        seconds = seconds.min(start.elapsed().as_secs_f64());
        // The episodes alone, with the network as it is at the end.
        let (network, numbers) = job.network();
        let mut trace = Trace::default();
        let start = Instant::now();
        for n in 0..(ROUNDS * EPISODES) as u64 {
            job.environment().explore(network, numbers, Random::new(1, n), &mut trace)?;
        }
        episodes = episodes.min(start.elapsed().as_secs_f64());
    }
    let steps = EPISODES * STEPS * ROUNDS;
    println!(
        "{}",
        serde_json::json!({"what": "ppo", "steps": steps, "seconds": seconds, "steps_per_second": steps as f64 / seconds,
            "episodes_seconds": episodes, "entropy": last.map(|round| round.entropy)})
    );
    Ok(())
}

/// Asks somebody else what to do.
struct Remote {
    observations: Sender<Vec<f32>>,
    actions: Receiver<u8>,
}

impl Act for Remote {
    fn act(&mut self, observation: &[f32]) -> (usize, f32, f32) {
        // Whoever has gone away gets flat.
        let _ = self.observations.send(observation.to_vec());
        (usize::from(self.actions.recv().unwrap_or(1)), 0.0, 0.0)
    }
}

fn serve() -> Result<()> {
    let environment = environment()?;
    let mut random = Random::new(1, 9);
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut begin = [0];
    while input.read(&mut begin)? == 1 {
        std::thread::scope(|scope| -> Result<()> {
            let mut lines = Vec::new();
            let mut threads = Vec::new();
            for _ in 0..EPISODES {
                let (observations, seen) = channel();
                let (told, actions) = channel();
                let market = environment.market(random.below(environment.episodes()))?;
                let environment = &environment;
                threads.push(scope.spawn(move || {
                    let mut recorder = Recorder::new(environment, Remote { observations, actions });
                    environment.trade(&market, &mut recorder).map(|()| recorder.episode.rewards)
                }));
                lines.push((seen, told));
            }
            for _ in 0..=STEPS {
                let mut bytes = Vec::with_capacity(EPISODES * OBSERVATION * 4);
                for (seen, _) in &lines {
                    bytes.extend(seen.recv()?.iter().flat_map(|value| value.to_le_bytes()));
                }
                output.write_all(&bytes)?;
                output.flush()?;
                let mut actions = [0; EPISODES];
                input.read_exact(&mut actions)?;
                for ((_, told), action) in lines.iter().zip(actions) {
                    told.send(action)?;
                }
            }
            for thread in threads {
                let rewards = thread.join().map_err(|_| anyhow::anyhow!("an episode stopped"))??;
                output.write_all(&rewards.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
            }
            Ok(output.flush()?)
        })?;
    }
    Ok(())
}

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("serve") { serve() } else { bench() }
}
