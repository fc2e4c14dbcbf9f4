//! A bound: the same rule as the predictive controller's, with the future known. It sees when each
//! agent will be free and which of the lines that are out will be answered when; only of a line
//! not yet dialed it knows no more than the true answer rate. (Who also knows that would dial
//! nobody in vain and keep everybody busy: 100 %.)

use crate::{
    center::Time,
    population::{Population, normals},
};
use pacing::Price;
use sansio::Seed;

/// What only the simulator knows, at one moment.
#[derive(Debug)]
pub struct Truth<'a> {
    /// The chance of a line begun now being answered.
    pub rate: f64,
    /// Abandonments left in the budget.
    pub left: f32,
    /// Live answers so far.
    pub answers: u64,
    /// Persons waiting.
    pub waiting: usize,
    /// When each agent can take somebody who was answered then, in microseconds from now.
    pub free: &'a [Time],
    /// When each line out there will need an agent, for those that will.
    pub needs: &'a [Time],
}

/// The bound as a policy.
#[derive(Debug)]
pub struct Clairvoyant {
    price: Price,
    answers: u64,
    /// When a line is answered, if it is: the middle and weight of each two seconds.
    weights: Vec<(Time, f64)>,
}

impl Clairvoyant {
    /// For this population, whose ring times it knows.
    pub fn new(population: &Population) -> Self {
        let mut random = Seed::from_u64(0).stream("clairvoyant");
        let mut counts = vec![0u32; 64];
        for _ in 0..20_000 {
            let ring = population
                .ring
                .at(normals(random.next_u64(), random.next_u64()).0)
                .min(population.ring_limit);
            let after = population.post_dial_delay + ring + population.screening;
            counts[((after / 2.0) as usize).min(63)] += 1;
        }
        let weights = counts.iter().enumerate().filter(|(_, n)| **n > 0);
        Self {
            price: Price::new(),
            answers: 0,
            weights: weights
                .map(|(at, n)| (at as Time * 2_000_000 + 1_000_000, f64::from(*n) / 20_000.0))
                .collect(),
        }
    }

    /// Whether one more line is worth its risk.
    pub fn one_more(&mut self, truth: &Truth<'_>) -> bool {
        let fresh = truth.answers - self.answers;
        self.answers = truth.answers;
        let reserve = 4.0 + truth.needs.len() as f32 * 0.3;
        self.price.turn(fresh as u32, truth.left, reserve);
        if truth.left < 1.0 {
            return truth.free.iter().filter(|at| **at == 0).count()
                > truth.needs.len() + truth.waiting;
        }
        let risk = |(at, weight): &(Time, f64)| {
            let free = truth.free.iter().filter(|free| *free <= at).count();
            let taken = truth.needs.iter().filter(|needs| *needs <= at).count() + truth.waiting;
            if taken >= free { *weight } else { 0.0 }
        };
        self.weights.iter().map(risk).sum::<f64>() <= f64::from(self.price.now())
    }
}
