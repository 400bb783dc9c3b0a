//! The numbers a network is made of: `f32` to train, `f64` to check gradients.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// A floating-point number whose functions give the same bits on every machine.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + Sum
    + 'static
{
    /// 1.
    const ONE: Self;
    /// Nearest value.
    fn of(value: f64) -> Self;
    /// As `f64`, exactly.
    fn wide(self) -> f64;
    /// Exponential.
    fn exp(self) -> Self;
    /// Logarithm of one more.
    fn ln_1p(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;

    /// Size.
    fn abs(self) -> Self {
        if self < Self::default() { -self } else { self }
    }

    /// The larger of both.
    fn max(self, other: Self) -> Self {
        if self < other { other } else { self }
    }

    /// The smaller of both.
    fn min(self, other: Self) -> Self {
        if other < self { other } else { self }
    }

    /// The logistic function.
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }
}

impl Real for f32 {
    const ONE: Self = 1.0;

    #[inline]
    fn of(value: f64) -> Self {
        value as Self
    }

    #[inline]
    fn wide(self) -> f64 {
        f64::from(self)
    }

    #[inline]
    fn exp(self) -> Self {
        libm::expf(self)
    }

    #[inline]
    fn ln_1p(self) -> Self {
        libm::log1pf(self)
    }

    #[inline]
    fn tanh(self) -> Self {
        libm::tanhf(self)
    }

    #[inline]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

impl Real for f64 {
    const ONE: Self = 1.0;

    #[inline]
    fn of(value: f64) -> Self {
        value
    }

    #[inline]
    fn wide(self) -> f64 {
        self
    }

    #[inline]
    fn exp(self) -> Self {
        libm::exp(self)
    }

    #[inline]
    fn ln_1p(self) -> Self {
        libm::log1p(self)
    }

    #[inline]
    fn tanh(self) -> Self {
        libm::tanh(self)
    }

    #[inline]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

/// `a . b`, summed in eight lanes: always in the same order, and in vector instructions.
#[inline]
pub fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    let (a_lanes, b_lanes) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: R = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(x, y)| *x * *y).sum();
    let mut sums = [R::default(); 8];
    for (x, y) in a_lanes.zip(b_lanes) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let pairs = [sums[0] + sums[4], sums[1] + sums[5], sums[2] + sums[6], sums[3] + sums[7]];
    (pairs[0] + pairs[2]) + (pairs[1] + pairs[3]) + rest
}

/// `y += x * a`.
#[inline]
pub fn add_scaled<R: Real>(y: &mut [R], x: R, a: &[R]) {
    for (y, a) in y.iter_mut().zip(a) {
        *y += x * *a;
    }
}
