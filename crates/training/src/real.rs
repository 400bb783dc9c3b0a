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
    /// Logarithm.
    fn ln(self) -> Self;
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
    fn ln(self) -> Self {
        libm::logf(self)
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
    fn ln(self) -> Self {
        libm::log(self)
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
    fold(sums) + rest
}

/// The sum of a function of values, in eight lanes.
#[inline]
pub fn sum<R: Real>(values: &[R], of: impl Fn(R) -> R) -> R {
    let lanes = values.chunks_exact(8);
    let rest: R = lanes.remainder().iter().map(|value| of(*value)).sum();
    let mut sums = [R::default(); 8];
    for eight in lanes {
        for (sum, value) in sums.iter_mut().zip(eight) {
            *sum += of(*value);
        }
    }
    fold(sums) + rest
}

#[inline]
fn fold<R: Real>(sums: [R; 8]) -> R {
    let pairs = [sums[0] + sums[4], sums[1] + sums[5], sums[2] + sums[6], sums[3] + sums[7]];
    (pairs[0] + pairs[2]) + (pairs[1] + pairs[3])
}

/// `y += x * a`.
#[inline]
pub fn add_scaled<R: Real>(y: &mut [R], x: R, a: &[R]) {
    for (y, a) in y.iter_mut().zip(a) {
        *y += x * *a;
    }
}

/// Columns that are worked on at once: as many sums as stay in registers.
const BLOCK: usize = 32;

/// `out = a b`, where `a` has lines of `inner` numbers and `b` has `inner` lines.
pub fn multiply<R: Real>(a: &[R], inner: usize, b: &[R], out: &mut [R]) {
    let width = b.len() / inner;
    for (line, out) in a.chunks_exact(inner).zip(out.chunks_exact_mut(width)) {
        for (at, out) in out.chunks_mut(BLOCK).enumerate() {
            let first = at * BLOCK;
            if let Ok(out) = <&mut [R; BLOCK]>::try_from(&mut *out) {
                let mut sums = [R::default(); BLOCK];
                for (x, b) in line.iter().zip(b.chunks_exact(width)) {
                    for (sum, b) in sums.iter_mut().zip(&b[first..first + BLOCK]) {
                        *sum += *x * *b;
                    }
                }
                *out = sums;
            } else {
                out.fill(R::default());
                for (x, b) in line.iter().zip(b.chunks_exact(width)) {
                    add_scaled(out, *x, &b[first..]);
                }
            }
        }
    }
}

/// `out += a' b`, where `a` has lines of `inner` numbers and `b` as many lines.
pub fn add_product<R: Real>(a: &[R], inner: usize, b: &[R], out: &mut [R]) {
    let width = out.len() / inner;
    for first in (0..width).step_by(BLOCK) {
        let end = width.min(first + BLOCK);
        for (column, out) in out.chunks_exact_mut(width).enumerate() {
            let column = a[column..].iter().step_by(inner);
            if let Ok(out) = <&mut [R; BLOCK]>::try_from(&mut out[first..end]) {
                let mut sums = *out;
                for (x, b) in column.zip(b.chunks_exact(width)) {
                    for (sum, b) in sums.iter_mut().zip(&b[first..end]) {
                        *sum += *x * *b;
                    }
                }
                *out = sums;
            } else {
                for (x, b) in column.zip(b.chunks_exact(width)) {
                    add_scaled(&mut out[first..end], *x, &b[first..end]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_products() {
        let of = |count: usize| (0..count).map(|at| (at * 7 % 11) as f64 - 5.0).collect::<Vec<f64>>();
        for width in [1, 31, 32, 70] {
            let (a, b) = (of(3 * 5), of(5 * width));
            let mut out = vec![9.0; 3 * width];
            multiply(&a, 5, &b, &mut out);
            for (line, column) in (0..3).flat_map(|line| (0..width).map(move |column| (line, column))) {
                let wanted: f64 = (0..5).map(|k| a[line * 5 + k] * b[k * width + column]).sum();
                assert_eq!(out[line * width + column], wanted);
            }
            let c = of(3 * width);
            let mut out = vec![1.0; 5 * width];
            add_product(&a, 5, &c, &mut out);
            for (k, column) in (0..5).flat_map(|k| (0..width).map(move |column| (k, column))) {
                let wanted: f64 = (0..3).map(|line| a[line * 5 + k] * c[line * width + column]).sum();
                assert_eq!(out[k * width + column], 1.0 + wanted);
            }
        }
        assert_eq!(sum(&of(21), |x| x * x), dot(&of(21), &of(21)));
    }
}
