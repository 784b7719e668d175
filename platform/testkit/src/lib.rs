//! Engines, clocks, fakes and faults for tests
