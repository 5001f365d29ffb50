// The API's documentation, by Swagger UI.

SwaggerUIBundle({ url: "/openapi.json", dom_id: "#documentation", deepLinking: true });
