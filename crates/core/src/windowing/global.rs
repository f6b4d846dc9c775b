//! The one window over all data: [`GlobalWindows`].

use crate::time::Timestamp;
use crate::windowing::window::Window;
use crate::windowing::window_fn::WindowFn;

/// Puts every element into [`Window::GLOBAL`]: the windowing of a collection until another is set.
///
/// ```
/// use millstream::trigger::Trigger;
/// use millstream::windowing::GlobalWindows;
///
/// let every_hundred = GlobalWindows.triggering(Trigger::after_count(100).repeatedly()).discarding();
/// every_hundred.validate()?;
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlobalWindows;

impl WindowFn for GlobalWindows {
    fn name(&self) -> &'static str {
        "GlobalWindows"
    }

    fn assign(&self, _timestamp: Timestamp, windows: &mut Vec<Window>) {
        windows.push(Window::GLOBAL);
    }

    fn is_global(&self) -> bool {
        true
    }

    fn fingerprint(&self) -> String {
        "global".to_owned()
    }
}
