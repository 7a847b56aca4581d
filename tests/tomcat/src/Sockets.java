import jakarta.servlet.ServletContextEvent;
import jakarta.servlet.ServletContextListener;
import jakarta.websocket.DeploymentException;
import jakarta.websocket.server.ServerContainer;

/** Adds the WebSocket endpoint by hand: scanning for annotations would slow every start. */
public final class Sockets implements ServletContextListener {
    @Override
    public void contextInitialized(ServletContextEvent event) {
        Object container = event.getServletContext().getAttribute(ServerContainer.class.getName());
        try {
            ((ServerContainer) container).addEndpoint(Echo.class);
        } catch (DeploymentException fault) {
            throw new IllegalStateException(fault);
        }
    }
}
