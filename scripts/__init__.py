"""Programs that build, fit, measure and try Copycatch; each says in its head how it is run."""

# Before a script loads NumPy and OpenCV: what is measured has the threads that a server has.
import service as service
