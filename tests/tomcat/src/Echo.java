import jakarta.websocket.OnMessage;
import jakarta.websocket.server.ServerEndpoint;
import java.nio.ByteBuffer;

/** Sends every WebSocket message back. */
@ServerEndpoint("/socket")
public final class Echo {
    @OnMessage
    public String text(String message) {
        return message;
    }

    @OnMessage(maxMessageSize = 1 << 20)
    public ByteBuffer bytes(ByteBuffer message) {
        return message;
    }
}
