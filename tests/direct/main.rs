//! Needs nothing but cargo: the shape of the house.

mod house;
mod policy_check;
